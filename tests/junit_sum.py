#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""junit_sum.py FILE: the sum of a pytest report as `N passed, N failed, N skipped`; status 1 without a report."""

import sys
import xml.etree.ElementTree as ET


def main():
    try:
        suites = list(ET.parse(sys.argv[1]).getroot().iter("testsuite"))
    except (OSError, ET.ParseError):
        return 1
    total, failed, skipped = (sum(int(s.get(name, 0)) for s in suites for name in names)
                              for names in (("tests",), ("failures", "errors"), ("skipped",)))
    print(f"{total - failed - skipped} passed, {failed} failed, {skipped} skipped")
    return 0


if __name__ == "__main__":
    sys.exit(main())
