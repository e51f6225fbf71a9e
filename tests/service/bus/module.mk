TEST_PROGRAMS += tests/service/bus/bus_peer
