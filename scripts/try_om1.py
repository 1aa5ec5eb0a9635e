"""Run a checkout's own tests of OM1 without our plugins and with them, and compare.

    python scripts/try_om1.py CHECKOUT PYTHON [TEST …]

PYTHON is an interpreter with OM1's packages and reflexarc. The tests that come with the plugins
are then run as well. Ends with 1 if a test fails with the plugins only, if one of theirs fails, or
if the checkout is not as it was at the end.
"""

import subprocess
import sys
from pathlib import Path

from reflexarc.om1.checkout import TESTS as TESTS_OF_PLUGINS
from reflexarc.om1.edits import apply
from reflexarc.om1.install import Plan, plan_install, plan_removal

TESTS = ("tests/llm", "tests/fuser", "tests/runtime", "tests/config")


def run(checkout: Path, python: str, tests: list[str]) -> tuple[str, set[str]]:
    """Pytest's last line, and the tests that failed."""
    command = [python, "-m", "pytest", "-q", "-rfE", "-p", "no:cacheprovider", *tests]
    done = subprocess.run(command, cwd=checkout, capture_output=True, text=True, check=False)
    lines = done.stdout.splitlines()
    failed = {line.split(" - ")[0] for line in lines if line.startswith(("FAILED ", "ERROR "))}
    return lines[-1] if lines else done.stderr.strip(), failed


def state(checkout: Path) -> str:
    """What git sees, the bytes that tests leave aside."""
    command = ["git", "status", "--porcelain", "--", ".", ":!**/__pycache__/**"]
    return subprocess.run(command, cwd=checkout, capture_output=True, text=True, check=True).stdout


def carry_out(plan: Plan) -> None:
    """Do what was planned."""
    apply(plan.root, plan.edits)


def main(checkout: Path, python: str, tests: list[str]) -> bool:
    """Whether the plugins do no harm."""
    tests = tests or [test for test in TESTS if (checkout / test).exists()]
    before = state(checkout)
    last, failed = run(checkout, python, tests)
    print(f"without the plugins: {last}")
    plan = plan_install(checkout)
    ours = [edit.path for edit in plan.edits if edit.path.startswith(f"{TESTS_OF_PLUGINS}/test_")]
    carry_out(plan)
    try:
        last, failed_with = run(checkout, python, [*tests, *(f"--ignore={name}" for name in ours)])
        print(f"with the plugins:    {last}")
        if ours:
            last, failed_ours = run(checkout, python, ours)
            failed_with |= failed_ours
            print(f"their own tests:     {last}")
    finally:
        carry_out(plan_removal(checkout))
    new = sorted(failed_with - failed)
    print(f"fails with them only: {', '.join(new) or 'nothing'}")
    is_restored = state(checkout) == before
    print(f"restored: {'yes' if is_restored else 'no, see git status'}")
    return is_restored and not new


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    sys.exit(not main(Path(sys.argv[1]), sys.argv[2], sys.argv[3:]))
