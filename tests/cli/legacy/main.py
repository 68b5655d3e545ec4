"""The report; what it exits with is the number of jobs that failed."""

import sys
import traceback

import jobs


def main() -> int:
    """Run each job, whatever became of the others."""
    failed = 0
    for job in (jobs.status, jobs.names, jobs.stored):
        try:
            print(job.__name__, job(), *sys.argv[1:])  # noqa: T201 (a report)
        except Exception:  # noqa: BLE001, PERF203 (as people do)
            traceback.print_exc()
            failed += 1
    return failed


if __name__ == "__main__":
    sys.exit(main())
