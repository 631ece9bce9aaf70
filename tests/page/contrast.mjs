// How well what a page writes stands out from what it is written on, by WCAG 2.

/** In the page: each element with text of its own, and the ratio of its colours. What is disabled does not count. */
export function contrasts() {
  const context = new OffscreenCanvas(1, 1).getContext('2d', { willReadFrequently: true });
  const rgb = (colour) => {
    context.clearRect(0, 0, 1, 1);
    context.fillStyle = colour;
    context.fillRect(0, 0, 1, 1);
    return [...context.getImageData(0, 0, 1, 1).data];
  };
  const luminance = ([red, green, blue]) => {
    const [r, g, b] = [red, green, blue].map((part) => (part / 255 <= 0.04045 ? part / 255 / 12.92 : ((part / 255 + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const colour = rgb(getComputedStyle(at).backgroundColor);
      if (colour[3] === 255) return colour;
    }
    return [255, 255, 255, 255];
  };
  const hasText = (element) => [...element.childNodes].some((node) => node.nodeType === Node.TEXT_NODE && node.data.trim());
  return [...document.querySelectorAll('body *')]
    .filter((element) => hasText(element) && element.checkVisibility() && !element.matches('script, style, :disabled, option:disabled'))
    .map((element) => {
      const [light, dark] = [luminance(rgb(getComputedStyle(element).color)), luminance(ground(element))].sort((one, other) => other - one);
      return { ratio: Math.round(((light + 0.05) / (dark + 0.05)) * 10) / 10, text: element.textContent.slice(0, 30), element: element.className || element.tagName };
    });
}
