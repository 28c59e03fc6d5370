// Hides the rows that lack the word; without scripts all are there.
const box = document.getElementById("find");
box.parentElement.hidden = false;
box.addEventListener("input", () => {
  const word = box.value.trim().toLowerCase();
  for (const section of document.querySelectorAll("section.settings")) {
    let found = 0;
    for (const row of section.querySelectorAll("tbody tr")) {
      row.hidden = !row.textContent.toLowerCase().includes(word);
      found += row.hidden ? 0 : 1;
    }
    section.hidden = found === 0;
  }
});
