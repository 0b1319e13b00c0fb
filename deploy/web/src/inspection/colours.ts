// Numbers to colours, by what the style sheet says: "part" from nothing to all, "signed" from negative over 0 to positive.

export type Scale = "part" | "signed";
type Rgb = readonly [number, number, number];

const STOPS: Readonly<Record<Scale, readonly string[]>> = {
  part: ["--ground", "--cool-half", "--cool"],
  signed: ["--warm", "--warm-half", "--ground", "--cool-half", "--cool"],
};
const SHADES = 256;

/** Returns SHADES colours, the lowest first. `within`: where the style sheet's colours hold. */
export function shades(scale: Scale, within: Element): string[] {
  const stops = STOPS[scale].map((name) => resolved(name, within));
  return Array.from({ length: SHADES }, (_, shade) => {
    const place = (shade / (SHADES - 1)) * (stops.length - 1);
    const below = Math.min(Math.floor(place), stops.length - 2);
    const [from, to] = [stops[below], stops[below + 1]] as [Rgb, Rgb];
    const mixed = from.map((value, channel) => Math.round(value + ((to[channel] ?? 0) - value) * (place - below)));
    return `rgb(${mixed.join(" ")})`;
  });
}

/** Returns the shade of `value` between `low` and `high`. */
export function shade(value: number, low: number, high: number): number {
  const place = high > low ? (value - low) / (high - low) : 0;
  return Math.round(Math.min(Math.max(place, 0), 1) * (SHADES - 1));
}

/** Returns a colour of the style sheet as three numbers from 0 to 255. */
export function resolved(name: string, within: Element): Rgb {
  const probe = document.createElement("span");
  probe.style.setProperty("color", `var(${name})`);
  within.append(probe);
  const [red = 0, green = 0, blue = 0] = getComputedStyle(probe).color.match(/[\d.]+/g)?.map(Number) ?? [];
  probe.remove();
  return [red, green, blue];
}
