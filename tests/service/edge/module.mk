TEST_PROGRAMS += tests/service/edge/db_check
