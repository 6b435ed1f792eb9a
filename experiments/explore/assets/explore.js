// What the page does by itself: tabs, colours, words that are chosen, saved pictures, the address.
window.dash_clientside = window.dash_clientside || {};

(function () {
    const VIEWS = ["prompt", "notes", "heads", "edit", "compose", "export"];

    window.dash_clientside.explore = {
        show: function (...values) {
            const asked = window.dash_clientside.callback_context.triggered_id;
            const view = asked ? asked.replace("tab-", "") : values[VIEWS.length];
            return [
                view,
                ...VIEWS.map((one) => one !== view),
                ...VIEWS.map((one) => String(one === view)),
                ...VIEWS.map((one) => (one === view ? 0 : -1)),
            ];
        },

        theme: function (clicks) {
            const system = window.matchMedia("(prefers-color-scheme: dark)").matches;
            let kept = null;
            try { kept = window.localStorage.getItem("theme"); } catch (_) { /* kept for this visit alone */ }
            let dark = kept === null ? system : kept === "dark";
            if (clicks) {
                dark = document.documentElement.dataset.theme !== "dark";
                try { window.localStorage.setItem("theme", dark ? "dark" : "light"); } catch (_) { /* as above */ }
            }
            document.documentElement.dataset.theme = dark ? "dark" : "light";
            return [dark, String(dark)];
        },

        // The next question how far work is, once the answer to the last one is here: answers never overtake.
        again: function (asked, store) {
            if (asked) window.setTimeout(() => window.dash_clientside.set_props(store, { data: asked }), 300);
            return window.dash_clientside.no_update;
        },

        check: function (value, store) {
            const chosen = new Set(Array.isArray(value) ? value : [value]);
            document.querySelectorAll(`[data-choices="${store}"] [data-value]`).forEach((button) => {
                const on = chosen.has(button.dataset.value);
                button.setAttribute("aria-checked", String(on));
                if (button.getAttribute("role") === "radio") button.tabIndex = on ? 0 : -1;
            });
            return window.dash_clientside.no_update;
        },

        mode: function (kind) {
            return [kind !== "scenario", kind !== "own"];
        },

        // Which words are pressed is kept here alone: the server never writes all words anew for one of them.
        press: function (chosen, _children, store) {
            const pressed = new Set(chosen || []);
            window.requestAnimationFrame(() => {
                document.querySelectorAll(`[data-picks="${store}"] [data-pos]`).forEach((word) => {
                    word.setAttribute("aria-pressed", String(pressed.has(Number(word.dataset.pos))));
                });
            });
            return window.dash_clientside.no_update;
        },

        address: function (packed) {
            if (!packed) return "";
            const place = `${window.location.pathname}?s=${packed}`;
            window.history.replaceState(null, "", place);
            return `${window.location.origin}${place}`;
        },
    };

    const picked = (box) =>
        [...box.querySelectorAll('[aria-pressed="true"]')].map((word) => Number(word.dataset.pos));
    let last = null;

    function choose(word, range) {
        const box = word.closest("[data-picks]");
        const on = word.getAttribute("aria-pressed") !== "true";
        const all = [...box.querySelectorAll("[data-pos]")];
        const from = range && last && all.includes(last) ? all.indexOf(last) : all.indexOf(word);
        const to = all.indexOf(word);
        all.slice(Math.min(from, to), Math.max(from, to) + 1).forEach((one) => {
            one.setAttribute("aria-pressed", String(on));
        });
        last = word;
        window.dash_clientside.set_props(box.dataset.picks, { data: picked(box) });
    }

    function check(button) {
        const box = button.closest("[data-choices]");
        const several = button.getAttribute("role") === "checkbox";
        let value = button.dataset.value;
        if (several) {
            const on = button.getAttribute("aria-checked") !== "true";
            button.setAttribute("aria-checked", String(on));
            value = [...box.querySelectorAll('[aria-checked="true"]')].map((one) => one.dataset.value);
        }
        window.dash_clientside.set_props(box.dataset.choices, { data: value });
    }

    function walk(list, now, key) {
        const at = list.indexOf(now);
        const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[key];
        if (key === "Home") return list[0];
        if (key === "End") return list[list.length - 1];
        return step ? list[(at + step + list.length) % list.length] : null;
    }

    function save(button) {
        const plot = document.querySelector(`#${button.dataset.save} .js-plotly-plot`);
        if (plot && window.Plotly) {
            const ground = getComputedStyle(document.documentElement).getPropertyValue("--ground").trim();
            const layout = { ...plot.layout, paper_bgcolor: ground || "white" };
            window.Plotly.downloadImage(
                { data: plot.data, layout: layout },
                { format: button.dataset.form, width: plot.clientWidth, height: plot.clientHeight,
                  scale: 2, filename: button.dataset.save });
        }
    }

    function copy(button) {
        const source = document.getElementById(button.dataset.copy);
        const text = source.value === undefined ? source.textContent : source.value;
        const done = () => { button.textContent = "Copied"; window.setTimeout(() => { button.textContent = "Copy"; }, 1500); };
        navigator.clipboard.writeText(text).then(done, () => { source.focus(); if (source.select) source.select(); });
    }

    // The selected words of a text become a field. One field may have two values: a further one gets a single value.
    function mark(button) {
        const box = document.getElementById(button.dataset.marks);
        const selected = box.value.slice(box.selectionStart, box.selectionEnd);
        const words = selected.trim();
        const from = box.selectionStart + selected.indexOf(words);
        const varied = /\[\[[^\]]*\|[^\]]*\]\]/.test(box.value);
        const field = `[[field: ${words || "value"}${varied ? "" : " | other value"}]]`;
        const text = box.value.slice(0, from) + field + box.value.slice(from + words.length);
        window.dash_clientside.set_props(box.id, { value: text });
        // Dash writes the text a moment later; then the field's name is selected, to be typed over.
        const select = (tries) => {
            if (box.value !== text && tries) return void window.setTimeout(() => select(tries - 1), 20);
            box.focus();
            box.setSelectionRange(from + 2, from + 2 + "field".length);
        };
        select(50);
    }

    document.addEventListener("click", (event) => {
        const word = event.target.closest("[data-pos]");
        if (word) choose(word, event.shiftKey);
        const chosen = event.target.closest("[data-value]");
        if (chosen) check(chosen);
        const saving = event.target.closest("[data-save]");
        if (saving) save(saving);
        const copying = event.target.closest("[data-copy]");
        if (copying) copy(copying);
        const marking = event.target.closest("[data-marks]");
        if (marking) mark(marking);
    });

    document.addEventListener("change", (event) => {
        const store = event.target.dataset && event.target.dataset.store;
        if (!store) return;
        window.dash_clientside.set_props(store, { data: event.target.value });
        if (event.target.dataset.once) event.target.selectedIndex = 0;
    });

    // Of words, tabs and radio buttons one is reached by the tab key, and the others from there by arrows.
    const WALKED = { "[data-pos]": "[data-picks]", '[role="tab"]': '[role="tablist"]', '[role="radio"]': '[role="radiogroup"]' };

    document.addEventListener("keydown", (event) => {
        if (!event.target.closest) return;
        const kind = Object.keys(WALKED).find((one) => event.target.closest(one));
        if (!kind) return;
        const now = event.target.closest(kind);
        const list = [...now.closest(WALKED[kind]).querySelectorAll(kind)];
        const next = walk(list, now, event.key);
        if (!next) return;
        event.preventDefault();
        now.tabIndex = -1;
        next.tabIndex = 0;
        next.focus();
        if (kind !== "[data-pos]") next.click();
    });
})();
