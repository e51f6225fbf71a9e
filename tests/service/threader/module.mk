TEST_PROGRAMS += tests/service/threader/post
