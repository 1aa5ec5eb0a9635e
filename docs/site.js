// A table that is wider than the screen is scrolled by keyboard, too, in the box that the theme puts it in.
function reachWide() {
  for (const box of document.querySelectorAll(".md-typeset__scrollwrap")) {
    if (box.scrollWidth <= box.clientWidth) continue;
    Object.assign(box, { tabIndex: 0, role: "group", ariaLabel: "Wide table" });
  }
}

addEventListener("load", reachWide);
addEventListener("resize", reachWide);
