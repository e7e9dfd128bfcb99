"use strict";
(function () {
  const rows = [...document.querySelectorAll("[data-verdict]")];
  const groups = [...document.querySelectorAll(".subject")];
  const form = document.getElementById("filter");
  const count = document.getElementById("visible");

  function apply() {
    const terms = form.q.value.toLowerCase().split(/\s+/).filter(Boolean);
    const verdict = form.verdict.value;
    const level = form.level.value;
    let visible = 0;
    for (const row of rows) {
      const text = row.textContent.toLowerCase();
      row.hidden = (verdict && row.dataset.verdict !== verdict) || (level && row.dataset.level !== level)
        || !terms.every((term) => text.includes(term));
      visible += row.hidden ? 0 : 1;
    }
    for (const group of groups) {
      group.hidden = ![...group.querySelectorAll("[data-verdict]")].some((row) => !row.hidden);
    }
    count.textContent = visible + " of " + rows.length + " claims shown";
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
        form.closest("details")?.setAttribute("open", "");
        form.q.value = "";
        form.level.value = "";
        form.verdict.value = link.dataset.filter;
        apply();
      });
    }
    apply();
  }
  for (const button of document.querySelectorAll("[data-copies]")) {
    button.hidden = false;
    button.addEventListener("click", () => copy(button));
  }
  addEventListener("hashchange", () => {
    for (let one = document.getElementById(location.hash.slice(1)); one; one = one.parentElement) {
      if (one.matches("details")) { one.open = true; }
    }
  });
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
