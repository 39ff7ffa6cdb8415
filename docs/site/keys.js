/* Code and tables that scroll take the focus, so that keys scroll them; the theme sees to it only where a mouse hovers. */
const reachable = () =>
  document.querySelectorAll("pre > code, .md-typeset__scrollwrap").forEach(box => {
    if (box.getAttribute("tabindex") !== "0") box.setAttribute("tabindex", "0");
  });
new MutationObserver(reachable).observe(document.body, { subtree: true, childList: true, attributeFilter: ["tabindex"] });
reachable();
