const search = document.getElementById("search"), all = document.getElementById("all"), shown = document.getElementById("shown");
const rows = [...document.querySelectorAll("tbody tr")].map((row) => [row, row.textContent.toLowerCase()]);
function filter() {
  const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
  document.body.classList.toggle("all", all.checked || words.length > 0);
  let count = 0;
  for (const [row, text] of rows) {
    const away = !words.every((word) => text.includes(word));
    row.classList.toggle("away", away);
    if (!away && (all.checked || words.length > 0 || !row.classList.contains("passed"))) count++;
  }
  shown.textContent = `${count} of ${rows.length} shown`;
}
search.addEventListener("input", filter);
all.addEventListener("change", filter);
// Nothing else to show.
all.checked = rows.every(([row]) => row.classList.contains("passed"));
filter();
