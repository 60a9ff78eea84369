// Whether the document is there, and in it, laid out, what was waited for.
(selector) => {
  if (document.readyState !== "complete" || location.href === "about:blank") return "loading";
  if (selector === null) return "ready";
  let found;
  try {
    found = document.querySelectorAll(selector);
  } catch {
    return "no selector";
  }
  const shown = (element) => element.checkVisibility({ visibilityProperty: true }) && element.getClientRects().length > 0;
  return Array.from(found).some(shown) ? "ready" : "missing";
}
