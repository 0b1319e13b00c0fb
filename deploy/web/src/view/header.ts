// The top of the page: its name, and what a reader sets once.
import { currentLanguage, say, speak, type Language } from "../strings/say";
import type { Access } from "./access";
import { button, el } from "./dom";
import { Chooser, type Choice } from "./setting";

type Theme = "auto" | "light" | "dark";

const LANGUAGES: readonly Choice<Language>[] = [
  { value: "en", label: { name: "English" } },
  { value: "ko", label: { name: "한국어" } },
];
const THEMES: readonly Choice<Theme>[] = [
  { value: "auto", label: "theme.auto" },
  { value: "light", label: "theme.light" },
  { value: "dark", label: "theme.dark" },
];
const KEPT = "seqstream.theme";

export function header(access: Access): HTMLElement {
  const name = el("h1", { class: "wordmark" }, el("span", {}, "seq"), el("span", {}, "stream"));
  const theme = keptTheme();
  apply(theme);
  const opener = say(button({ class: "quiet" }, () => access.open()), "access.open");
  const settings = el(
    "div",
    { class: "settings" },
    new Chooser("language", LANGUAGES, currentLanguage(), speak).element,
    new Chooser("theme", THEMES, theme, keep).element,
    opener,
  );
  return el("header", {}, name, settings);
}

function keptTheme(): Theme {
  const kept = localStorage.getItem(KEPT);
  return kept === "light" || kept === "dark" ? kept : "auto";
}

function keep(theme: Theme): void {
  if (theme === "auto") localStorage.removeItem(KEPT);
  else localStorage.setItem(KEPT, theme);
  apply(theme);
}

// Pictures are drawn anew: their colours do not follow by themselves.
function apply(theme: Theme): void {
  if (theme === "auto") delete document.documentElement.dataset["theme"];
  else document.documentElement.dataset["theme"] = theme;
  document.dispatchEvent(new Event("themechange"));
}
