"use strict";
(function () {
  const rows = [...document.querySelectorAll("tr[data-state]")];
  const form = document.getElementById("filter");
  const count = document.getElementById("visible");

  function apply() {
    const terms = form.q.value.toLowerCase().split(/\s+/).filter(Boolean);
    const state = form.state.value;
    const kind = form.kind.value;
    let visible = 0;
    for (const row of rows) {
      const text = row.textContent.toLowerCase();
      row.hidden = (state && row.dataset.state !== state) || (kind && row.dataset.kind !== kind)
        || !terms.every((term) => text.includes(term));
      visible += row.hidden ? 0 : 1;
    }
    count.textContent = visible + " of " + rows.length + " trials shown";
  }

  function reveal() {
    const row = rows.find((one) => "#" + one.id === location.hash);
    if (row) {
      if (form && row.hidden) { form.reset(); }
      row.closest("details").open = true;
      row.scrollIntoView({ block: "center" });
    }
  }

  async function copy(button) {
    const source = document.getElementById(button.dataset.copies);
    try {
      await navigator.clipboard.writeText(source.textContent);
      button.textContent = "Copied";
    } catch {
      getSelection().selectAllChildren(source);
      button.textContent = document.execCommand("copy") ? "Copied" : "Press Ctrl+C";
    }
    setTimeout(() => { button.textContent = "Copy"; }, 1500);
  }

  if (form) {
    form.hidden = false;
    form.addEventListener("input", apply);
    form.addEventListener("submit", (event) => event.preventDefault());
    form.addEventListener("reset", () => setTimeout(apply));
    for (const link of document.querySelectorAll("[data-filter]")) {
      link.addEventListener("click", () => {
        form.q.value = "";
        form.kind.value = "";
        form.state.value = link.dataset.filter;
        document.getElementById("trials").open = true;
        apply();
      });
    }
    apply();
  }
  for (const button of document.querySelectorAll("[data-copies]")) {
    button.hidden = false;
    button.addEventListener("click", () => copy(button));
  }
  addEventListener("hashchange", reveal);
  reveal();
  let folded = [];
  addEventListener("beforeprint", () => {
    folded = [...document.querySelectorAll("details:not([open])")];
    for (const fold of folded) { fold.open = true; }
  });
  addEventListener("afterprint", () => {
    for (const fold of folded) { fold.open = false; }
    folded = [];
  });
})();
