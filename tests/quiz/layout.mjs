// What is wrong with how a page is laid out, by measured boxes. `faults` runs in the page, so it stands on its own.

/** All that overflows, is too small to touch, is cut off, or is too faint to read (WCAG 2, AA). */
export function faults() {
  const found = [];
  const name = (element) => `${element.tagName.toLowerCase()}${element.id && `#${element.id}`} ${JSON.stringify(element.textContent.trim().slice(0, 30))}`;
  const isShown = (element) => element.checkVisibility({ visibilityProperty: true }) && !element.closest('.visually-hidden');
  const width = document.documentElement.clientWidth;
  if (document.documentElement.scrollWidth > width) found.push(`the page is ${document.documentElement.scrollWidth} px wide, and has ${width}`);

  const channels = (color) => {
    const [r, g, b, a = 1] = color.match(/[\d.]+/g).map(Number);
    return [r, g, b, a];
  };
  const over = ([r, g, b, a], [R, G, B]) => [r * a + R * (1 - a), g * a + G * (1 - a), b * a + B * (1 - a)];
  const luminance = (rgb) => {
    const [r, g, b] = rgb.map((c) => (c / 255 <= 0.03928 ? c / 255 / 12.92 : ((c / 255 + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = (element) => {
    if (!element) return [255, 255, 255];
    const color = channels(getComputedStyle(element).backgroundColor);
    return color[3] === 1 ? color.slice(0, 3) : over(color, ground(element.parentElement));
  };
  const opacity = (element) => (element ? Number(getComputedStyle(element).opacity) * opacity(element.parentElement) : 1);

  for (const element of document.body.querySelectorAll('*')) {
    if (element.closest('svg') || !isShown(element)) continue;
    const box = element.getBoundingClientRect();
    if (box.width === 0 || box.height === 0) continue;
    if (box.left < -1 || box.right > width + 1) found.push(`${name(element)} reaches from ${box.left} to ${box.right}`);
    const style = getComputedStyle(element);
    if (element.matches('button, input, select, summary') && (box.height < 44 || box.width < 44)) {
      found.push(`${name(element)} is ${box.width} by ${box.height}`);
    }
    const hasText = [...element.childNodes].some((node) => node.nodeType === Node.TEXT_NODE && node.data.trim());
    if (!hasText || element.matches(':disabled')) continue;
    const hides = style.overflowX !== 'visible' || style.overflowY !== 'visible';
    if (element.scrollWidth > element.clientWidth + 1 && (hides || style.display !== 'inline')) found.push(`${name(element)} is cut off or spills`);
    // Text must lie within every box that is drawn around it.
    const frame = element.closest('button, li, .card, .verdict, .badge summary');
    const around = frame?.getBoundingClientRect();
    if (around && (box.bottom > around.bottom + 1 || box.top < around.top - 1)) found.push(`${name(element)} leaves its box`);

    const below = ground(element);
    const color = channels(style.color);
    const seen = over([...color.slice(0, 3), color[3] * opacity(element)], below);
    const [light, dark] = [luminance(seen), luminance(below)].sort((a, b) => b - a);
    const ratio = (light + 0.05) / (dark + 0.05);
    const size = parseFloat(style.fontSize);
    const least = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700) ? 3 : 4.5;
    if (ratio < least) found.push(`${name(element)} has a contrast of ${ratio.toFixed(2)}`);
  }
  return found;
}
