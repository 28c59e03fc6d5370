const input = document.querySelector("#word");
const output = document.querySelector("output");
const experts = [...document.querySelectorAll(".expert")];
const words = experts.map((expert) => expert.dataset.words.split(" "));
const find = () => {
  const word = input.value.trim().toLowerCase();
  const found = experts.filter((expert, place) => {
    expert.hidden = word !== "" && !words[place].some((own) => own.startsWith(word));
    return !expert.hidden;
  });
  experts.forEach((expert) => { expert.open = word !== "" && found.length <= 10 && !expert.hidden; });
  output.value = `${found.length} of ${experts.length} experts`;
};
const follow = () => {
  input.value = decodeURIComponent(location.hash.slice(1));
  find();
};
input.addEventListener("input", find);
window.addEventListener("hashchange", follow);
input.closest(".search").hidden = false;
follow();
