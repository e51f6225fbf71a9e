# SPDX-License-Identifier: Apache-2.0
from harness.programs import run_check


def test_db_lease_and_outbox(postgres):
    run_check("service/edge/db_check", postgres.new_database(migrate=True))
