# SPDX-License-Identifier: Apache-2.0
import pytest
from harness.programs import run_check


@pytest.mark.smoke
def test_db_lease_and_outbox(postgres):
    run_check("service/edge/db_check", postgres.new_database(migrate=True))
