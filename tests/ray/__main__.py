"""`python -m tests.ray`: these tests where Ray's processes see nothing but the loopback, and end with the tests."""

import sys

from benchmarks.alone import NamespaceError, run_alone


def main() -> int:
    """Run pytest. Returns its exit code; 0 if there can be no namespaces."""
    try:
        return run_alone([sys.executable, "-m", "pytest", "--confcutdir", "tests/ray", "tests/ray", *sys.argv[1:]])
    except NamespaceError as error:
        print(f"SKIPPED: the tests of Ray Serve need namespaces, for it listens on every interface: {error}")
        return 0


if __name__ == "__main__":
    sys.exit(main())
