// Texts whose contrast with what is behind them is below 4.5 : 1, or 3 : 1 where large (WCAG 2.1, success criterion 1.4.3).
(() => {
  const channels = text => {  // "rgb(r, g, b)", "rgba(r, g, b, a)" or "color(srgb r g b / a)" -> [r, g, b, a], r to b in 0..1
    const found = (text.match(/-?[\d.]+(e-\d+)?/g) || [0, 0, 0, 0]).map(Number);
    const scale = text.startsWith("color") ? 1 : 255;
    return [...found.slice(0, 3).map(value => value / scale), found[3] ?? 1];
  };
  const over = (top, below) => [0, 1, 2].map(i => top[3] * top[i] + (1 - top[3]) * below[i]);
  const ground = element => {
    const layers = [];
    for (let each = element; each; each = each.parentElement) {
      layers.push(channels(getComputedStyle(each).backgroundColor));
      if (layers.at(-1)[3] === 1) break;
    }
    return layers.reduceRight((below, top) => over(top, below), [1, 1, 1]);
  };
  const opacity = element => element ? getComputedStyle(element).opacity * opacity(element.parentElement) : 1;
  const linear = value => value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
  const luminance = ([r, g, b]) => 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
  const contrast = element => {
    const style = getComputedStyle(element), below = ground(element);
    const [r, g, b, a] = channels(element.closest("svg") ? style.fill : style.color);
    const ink = over([r, g, b, a * opacity(element)], below);
    const [dark, light] = [luminance(ink), luminance(below)].sort((a, b) => a - b);
    const pixels = parseFloat(style.fontSize), large = pixels >= 24 || (pixels >= 18.5 && style.fontWeight >= 700);
    return (light + 0.05) / (dark + 0.05) / (large ? 3 : 4.5);
  };
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT), elements = new Set();
  while (texts.nextNode()) if (texts.currentNode.data.trim()) elements.add(texts.currentNode.parentElement);
  const seen = [...elements].filter(each => each.checkVisibility({opacityProperty: true, visibilityProperty: true})
    && !each.closest("script, style, title, noscript, [disabled]"));
  return seen.filter(each => contrast(each) < 1).map(each => `${each.textContent.trim().slice(0, 40)} (${each.className.baseVal ?? each.className})`);
})()
