const input = document.querySelector("#word");
const output = document.querySelector("output");
const experts = [...document.querySelectorAll(".expert")];
const find = () => {
  const word = input.value.trim().toLowerCase();
  const found = experts.filter((expert) => {
    expert.hidden = word !== "" && !expert.dataset.words.split(" ").some((own) => own.startsWith(word));
    return !expert.hidden;
  });
  experts.forEach((expert) => { expert.open = word !== "" && found.length <= 10 && !expert.hidden; });
  output.value = `${found.length} of ${experts.length} experts`;
};
input.addEventListener("input", find);
input.closest(".search").hidden = false;
find();
