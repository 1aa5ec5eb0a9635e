"""The commands that put our plugins into a checkout of OM1, and take them out again."""

from __future__ import annotations

import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from reflexarc.cli.outcome import WORLD_FAILED, failures
from reflexarc.cli.report import AsJson, Report
from reflexarc.om1.edits import apply
from reflexarc.om1.findings import Finding, hindrances, next_steps
from reflexarc.om1.findings import check as findings_of
from reflexarc.om1.install import Plan, plan_install, plan_removal
from reflexarc.packages import source

om1 = typer.Typer(no_args_is_help=True, help="Mistral and Llama plugins in an OM1 checkout.")

Checkout = Annotated[Path, typer.Argument(metavar="PATH", help="A checkout of OpenMind's OM1.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show what would change, as a diff.")]

_NOT_CHECKED = Finding(
    "note",
    "git does not know this folder, so whether it has other changes could not be checked",
    "keep a copy of it, or put it under git",
)


@om1.command()
def install(path: Checkout, dry_run: DryRun = False, as_json: AsJson = False) -> None:
    """Put the plugins in: new files, and a line each in a few of OM1's."""
    report = Report(as_json=as_json)
    with failures(report):
        plan = plan_install(path)
        if not plan.is_checked:
            _tell(_NOT_CHECKED, report)
        _carry_out(plan, report, dry_run=dry_run)
        if dry_run:
            return
        if not plan.edits:
            report.say("Everything is installed already; nothing changed.")
            return
        for finding in hindrances(plan.root):
            _tell(finding, report)
        steps = next_steps(plan.root)
        if as_json:
            report.data({"event": "next", "do": steps})
        report.plain("Installed. What is next:")
        for step in steps:
            report.plain(f"  {step}")
        if (source() or "").startswith("file:"):
            report.plain(
                "pyproject.toml names a place on this machine now; for a pull request to OM1, "
                "install reflexarc from a git address first."
            )


@om1.command()
def check(path: Checkout, as_json: AsJson = False) -> None:
    """Say what is installed, what is missing, and what mends it."""
    report = Report(as_json=as_json)
    with failures(report):
        findings = list(findings_of(path, os.environ))
        for finding in findings:
            _tell(finding, report)
    if any(finding.level == "problem" for finding in findings):
        raise typer.Exit(WORLD_FAILED)


@om1.command()
def remove(path: Checkout, dry_run: DryRun = False, as_json: AsJson = False) -> None:
    """Take everything out again, so that the checkout is as it was."""
    report = Report(as_json=as_json)
    with failures(report):
        _carry_out(plan_removal(path), report, dry_run=dry_run)


def _carry_out(plan: Plan, report: Report, *, dry_run: bool) -> None:
    if not dry_run:
        apply(plan.root, plan.edits)
    for edit in plan.edits:
        change = plan.change(edit)
        if report.as_json:
            diff = {"diff": edit.diff()} if dry_run else {}
            report.data({"event": "edit", "path": edit.path, "change": change, **diff})
        elif dry_run:
            sys.stdout.write(edit.diff())  # as it is, for `git apply`
        else:
            report.plain(f"{change:<8} {edit.path}")


def _tell(finding: Finding, report: Report) -> None:
    if report.as_json:
        report.data({"event": "finding", **asdict(finding)})
        return
    report.plain(f"{finding.level:<7} {finding.what}")
    if finding.do:
        report.plain(f"        {finding.do}")
