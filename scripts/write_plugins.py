"""Write src/llm/plugins anew, after a change of its template or of a row."""

from pathlib import Path

from reflexarc.om1.plugins import BRAINS, render

for brain in BRAINS:
    path = Path("src/llm/plugins") / f"{brain.stem}.py"
    path.write_text(render(brain, "A"), encoding="utf-8")
    print(path)
