import { readFileSync } from "node:fs";
import { defineConfig, type Plugin } from "vite";

// Where `npm run dev` finds gRPC-Web. A page that is built talks to its own origin.
const SERVERS = "http://127.0.0.1:8080";

// What the page may do: run and load its own files, call its own origin. nginx.conf sends the same as a header.
const POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "font-src 'self'",
  "img-src 'self'",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "require-trusted-types-for 'script'",
  "trusted-types 'none'",
].join("; ");

// Not while developing: vite then puts scripts and styles of its own into the page.
const policy: Plugin = {
  name: "content-security-policy",
  apply: "build",
  transformIndexHtml: () => [
    { tag: "meta", attrs: { "http-equiv": "Content-Security-Policy", content: POLICY }, injectTo: "head-prepend" },
  ],
};

// The fonts are built in as files, which the list of licences leaves out.
const fonts: Plugin = {
  name: "licence-of-fonts",
  apply: "build",
  generateBundle() {
    const source = readFileSync(new URL("node_modules/@fontsource/ibm-plex-mono/LICENSE", import.meta.url));
    this.emitFile({ type: "asset", fileName: "fonts-licence.txt", source });
  },
};

export default defineConfig({
  // Relative, so that the files may lie under any path of their origin.
  base: "./",
  plugins: [policy, fonts],
  build: {
    target: "es2023",
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    // The licences of what is built in, as they ask for.
    license: { fileName: "licenses.md" },
  },
  server: { proxy: { "^/seqstream\\.v1\\.": SERVERS } },
});
