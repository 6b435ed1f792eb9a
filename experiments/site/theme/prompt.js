"use strict";
// One prompt whose patches were all measured before: click words and read what the decision does. Nothing is estimated:
// a set of words that was not measured is said to be none.
(() => {
  const data = window.pkvPrompt;
  const root = document.getElementById("prompt");
  if (!data || !root) return;
  const live = data.tokens.map((token, i) => (token.live ? i : -1)).filter((i) => i >= 0);
  const at = new Map(live.map((position, i) => [position, i]));
  const chosen = new Set();
  let part = data.parts.KV ? "KV" : Object.keys(data.parts)[0];

  const make = (tag, attributes = {}, ...inside) => {
    const one = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (name in one && name !== "role") one[name] = value; else one.setAttribute(name, value);
    }
    one.append(...inside);
    return one;
  };
  const signed = (value, digits = 2) => (value < 0 ? "−" : "") + Math.abs(value).toFixed(digits);
  const shown = (text) => text.replaceAll("\n", "↵").replaceAll("\t", "→") || "␣";
  const reach = Math.max(...Object.values(data.parts).flatMap((p) => p.single.map(Math.abs)), 1e-9);

  const words = make("div", { className: "words", role: "group" });
  words.setAttribute("aria-label", "The prompt's words; arrow keys move, space chooses");
  const buttons = data.tokens.map((token, position) => {
    const text = shown(token.text);
    const one = token.live
      ? make("button", { type: "button", textContent: text, tabIndex: -1 })
      : make("span", { className: token.changed ? "changed" : "still", textContent: text });
    if (token.live) one.onclick = () => { choose(position); };
    words.append(one);
    if (token.text.includes("\n")) words.append(document.createElement("br"));
    return one;
  });
  let here = live[0];
  words.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    here = live[(at.get(here) + step + live.length) % live.length];
    focusOn(here);
  });
  function focusOn(position) {
    live.forEach((p) => { buttons[p].tabIndex = p === position ? 0 : -1; });
    buttons[position].focus();
  }

  const said = make("p", { className: "said" });
  said.setAttribute("aria-live", "polite");
  const pin = make("span", { className: "pin" });
  const gauge = make("div", { className: "gauge", "aria-hidden": "true" }, make("span", { className: "rail" }), pin);
  const ends = make("div", { className: "ends" }, make("span", { textContent: data.ends[0] }), make("span", { textContent: data.ends[1] }));

  const names = { KV: "keys and values", K: "keys alone", V: "values alone" };
  const kinds = make("fieldset", {}, make("legend", { textContent: "Put in" }));
  for (const name of Object.keys(data.parts)) {
    const radio = make("input", { type: "radio", name: "part", value: name, checked: name === part });
    radio.onchange = () => { part = name; paint(); tell(); };
    kinds.append(make("label", {}, radio, ` ${names[name]}`));
  }
  const none = make("button", { type: "button", textContent: "Clear" });
  none.onclick = () => { chosen.clear(); paint(); tell(); };
  const best = make("button", { type: "button", textContent: "Strongest word" });
  best.onclick = () => { chosen.clear(); chosen.add(ranked()[0]); paint(); tell(); };
  const two = make("button", { type: "button", textContent: "Two strongest" });
  two.onclick = () => { chosen.clear(); ranked().slice(0, 2).forEach((p) => chosen.add(p)); paint(); tell(); };
  const controls = make("div", { className: "controls" });
  if (Object.keys(data.parts).length > 1) controls.append(kinds);
  controls.append(best);
  if (Object.values(data.parts).some((p) => p.pairs)) controls.append(two);
  for (const group of data.groups ?? []) {
    const one = make("button", { type: "button", textContent: group.name });
    one.onclick = () => { chosen.clear(); group.positions.forEach((p) => chosen.add(p)); paint(); tell(); };
    controls.append(one);
  }
  controls.append(none);
  const legend = make("p", { className: "controls" }, `recovery ${signed(-reach)} `, make("span", { className: "scale" }), ` ${signed(reach)}`);

  const ranked = () => [...live].sort((a, b) => data.parts[part].single[at.get(b)] - data.parts[part].single[at.get(a)]);
  function choose(position) {
    here = position;
    if (chosen.has(position)) chosen.delete(position); else chosen.add(position);
    paint();
    tell();
  }

  function paint() {
    const single = data.parts[part].single;
    for (const position of live) {
      const value = single[at.get(position)];
      const one = buttons[position];
      one.style.setProperty("--much", Math.min(1, Math.abs(value) / reach).toFixed(3));
      one.classList.toggle("against", value < 0);
      one.classList.toggle("deep", Math.abs(value) > 0.72 * reach);
      one.setAttribute("aria-pressed", String(chosen.has(position)));
      one.setAttribute("aria-label", `${data.tokens[position].text.trim() || "line break or blank"}, ${data.tokens[position].kind}, recovery ${value.toFixed(2)}`);
    }
    live.forEach((p) => { buttons[p].tabIndex = p === here ? 0 : -1; });
  }

  // Recovery of the chosen words together, where that was measured.
  function measured() {
    const { single, pairs } = data.parts[part];
    const mine = [...chosen].map((p) => at.get(p)).sort((a, b) => a - b);
    if (!mine.length) return 0;
    if (mine.length === 1) return single[mine[0]];
    if (mine.length === 2 && pairs) {
      const [i, j] = mine;
      return pairs[i * live.length - (i * (i + 1)) / 2 + (j - i - 1)];
    }
    const same = (data.groups ?? []).find((g) => g.positions.length === chosen.size && g.positions.every((p) => chosen.has(p)));
    return same?.recovery[part] ?? null;
  }

  function tell() {
    const value = measured();
    const quoted = [...chosen].sort((a, b) => a - b).map((p) => `“${shown(data.tokens[p].text).trim() || "␣"}”`);
    const list = quoted.length > 6 ? `${quoted.length} words` : quoted.join(" and ");
    if (!chosen.size) {
      said.textContent = `Nothing is put in: ${data.start}`;
    } else if (value === null) {
      const sum = [...chosen].reduce((total, p) => total + data.parts[part].single[at.get(p)], 0);
      said.textContent = `${list}: this set was not measured. Alone they recover ${signed(sum)} in sum; \`make explore\` measures any set.`;
    } else {
      const { clean, corrupt } = data.margins ?? {};
      const margin = data.margins ? corrupt + value * (clean - corrupt) : null;
      const verdict = margin === null ? "" : ` The margin goes from ${signed(corrupt)} to ${signed(margin)} logits: it decides “${margin > 0 ? data.actions[0] : data.actions[1]}”.`;
      said.textContent = `${list}, ${names[part]}: recovery ${signed(value)}.${verdict}`;
    }
    pin.style.left = `${100 * Math.min(1, Math.max(0, value ?? 0))}%`;
    pin.style.opacity = value === null ? "0.25" : "1";
  }

  const strongest = make("ol");
  for (const position of ranked().slice(0, 6)) {
    strongest.append(make("li", {}, make("code", { textContent: shown(data.tokens[position].text) }),
      ` (${data.tokens[position].kind}), recovery ${signed(data.parts[part].single[at.get(position)])}`));
  }
  root.append(controls, words, legend, gauge, ends, said,
    make("h3", { textContent: "The six strongest words" }), strongest);
  paint();
  tell();
})();
