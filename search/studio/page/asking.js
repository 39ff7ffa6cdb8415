// Asks the server to do something, and hears of it piece by piece; a newer request of the same name ends the one before.

const running = new Map();

export const base = location.pathname.replace(/[^/]*$/, "");

export function stop(name) {
  running.get(name)?.abort();
}

// Returns whether it was done to its end: false if it was superseded or stopped. What is refused is thrown as an Error.
export async function ask(name, body, hear) {
  stop(name);
  const controller = new AbortController();
  running.set(name, controller);
  try {
    const response = await fetch(`${base}do/${name}`, {
      method: "POST", headers: {"Content-Type": "application/json"}, body: JSON.stringify(body), signal: controller.signal,
    });
    if (!response.ok) throw new Error((await response.json()).error);
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = "";
    for (;;) {
      const {value, done} = await reader.read();
      if (done) return false;
      const parts = (rest + value).split("\n");
      rest = parts.pop();
      for (const part of parts) {
        const piece = JSON.parse(part);
        if (controller.signal.aborted || piece.superseded) return false;
        if (piece.error) throw new Error(piece.error);
        if (piece.done) return true;
        hear(piece);
      }
    }
  } catch (error) {
    if (controller.signal.aborted) return false;
    throw error;
  } finally {
    if (running.get(name) === controller) running.delete(name);
  }
}

export function complain(error) {
  const place = document.getElementById("error");
  place.hidden = !error;
  place.textContent = error ? error.message ?? String(error) : "";
}
