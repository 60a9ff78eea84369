// How much a person sees in the window: letters of text, and things that are no text. Looks into open shadow trees.
() => {
  const things = "img, svg, canvas, video, input, textarea, select, button, iframe, object, embed, progress, meter";
  const inWindow = (box) =>
    box.width > 1 && box.height > 1 && box.right > 0 && box.bottom > 0 && box.left < innerWidth && box.top < innerHeight;
  const shown = (element) => element.checkVisibility({ opacityProperty: true, visibilityProperty: true });
  const seen = { letters: 0, things: 0 };
  // Enough of a large page to know that it is not blank.
  let left = 50000;
  const look = (root) => {
    const walker = document.createTreeWalker(root, NodeFilter.SHOW_ELEMENT | NodeFilter.SHOW_TEXT);
    for (let node = walker.nextNode(); node !== null && left > 0; node = walker.nextNode(), left--) {
      if (node.nodeType === Node.TEXT_NODE) {
        const text = node.data.trim();
        if (text === "" || node.parentElement === null || !shown(node.parentElement)) continue;
        const range = document.createRange();
        range.selectNodeContents(node);
        if (Array.from(range.getClientRects()).some(inWindow)) seen.letters += text.length;
        continue;
      }
      if (node.shadowRoot) look(node.shadowRoot);
      if (!node.matches(things) || !shown(node) || !inWindow(node.getBoundingClientRect())) continue;
      if (node instanceof HTMLImageElement && node.naturalWidth === 0) continue;
      seen.things++;
    }
  };
  if (document.body) look(document.body);
  return seen;
}
