// The words of the page, in the reader's language. Elements remember what they say and say it anew when that changes.
import en from "./en.json";
import ko from "./ko.json";

/** Every language has every key: the compiler sees to it, and a test. */
const WORDS = { en, ko } satisfies Record<string, Record<keyof typeof en, string>>;

export type Key = keyof typeof en;
export type Language = keyof typeof WORDS;
export type Values = Readonly<Record<string, string | number>>;

const KEPT = "seqstream.language";
let language: Language = kept() ?? preferred();

export function currentLanguage(): Language {
  return language;
}

/** Lets the whole page speak `next`, now and when it is opened again. */
export function speak(next: Language): void {
  language = next;
  localStorage.setItem(KEPT, next);
  document.documentElement.lang = next;
  for (const element of document.querySelectorAll<HTMLElement>("[data-say]")) {
    element.textContent = words(element.dataset["say"] as Key, parsed(element.dataset["values"]));
  }
  for (const element of document.querySelectorAll<HTMLElement>("[data-say-attributes]")) {
    const said = JSON.parse(element.dataset["sayAttributes"] ?? "{}") as Record<string, [Key, Values]>;
    for (const [attribute, [key, values]] of Object.entries(said)) element.setAttribute(attribute, words(key, values));
  }
  document.dispatchEvent(new Event("languagechange"));
}

/** Returns the words of `key`; numbers in `values` are written as the language does. */
export function words(key: Key, values: Values = {}): string {
  return WORDS[language][key].replace(/\{(\w+)\}/g, (_, name: string) => {
    const value = values[name];
    return typeof value === "number" ? written(value) : (value ?? "");
  });
}

/** Writes a number with at most so many digits. */
export function written(value: number, digits = 4): string {
  return new Intl.NumberFormat(language, { maximumSignificantDigits: Math.max(digits, wholeDigits(value)) }).format(value);
}

/** Lets `element` say `key`, in whatever language. */
export function say<E extends HTMLElement>(element: E, key: Key, values: Values = {}): E {
  element.dataset["say"] = key;
  element.dataset["values"] = JSON.stringify(values);
  element.textContent = words(key, values);
  return element;
}

/** Lets an attribute of `element` say `key`: "aria-label", "placeholder", "title". */
export function sayAttribute<E extends HTMLElement>(element: E, attribute: string, key: Key, values: Values = {}): E {
  const said = JSON.parse(element.dataset["sayAttributes"] ?? "{}") as Record<string, [Key, Values]>;
  element.dataset["sayAttributes"] = JSON.stringify({ ...said, [attribute]: [key, values] });
  element.setAttribute(attribute, words(key, values));
  return element;
}

function kept(): Language | undefined {
  const found = localStorage.getItem(KEPT);
  return found !== null && found in WORDS ? (found as Language) : undefined;
}

function preferred(): Language {
  const wanted = navigator.languages.map((tag) => tag.split("-")[0] ?? "");
  return (wanted.find((each) => each in WORDS) as Language | undefined) ?? "en";
}

function parsed(json: string | undefined): Values {
  return JSON.parse(json ?? "{}") as Values;
}

function wholeDigits(value: number): number {
  return Math.abs(value) >= 1 && Number.isFinite(value) ? Math.floor(Math.log10(Math.abs(value))) + 1 : 1;
}
