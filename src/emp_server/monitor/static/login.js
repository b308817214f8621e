// Whoever comes from a foreign page (a link in a chat) shows no session with that first request: it is SameSite=Strict.
// If this browser has one all the same, the login leads on to where its reader wanted to be.
export async function passThrough() {
  if (!document.querySelector("[data-way-in]")) return;
  const answer = await fetch(location.href, { cache: "no-store" });
  if (answer.redirected) location.replace(answer.url);
}
