const selects = [document.querySelector("#of-study"), document.querySelector("#of-word")];
const rows = [...document.querySelectorAll(".all tbody tr")];
const output = document.querySelector(".filters output");
const filter = () => {
  const [study, word] = selects.map((select) => select.value);
  const shown = rows.filter((row) => {
    row.hidden = (study !== "" && row.dataset.study !== study) || (word !== "" && row.dataset.word !== word);
    return !row.hidden;
  });
  output.value = `${shown.length} of ${rows.length} claims`;
};
selects.forEach((select) => select.addEventListener("change", filter));
document.querySelector(".filters").hidden = false;
filter();
