// One generation as its reader sees it: a single stream, over however many servers it takes.
import type { Calls } from "./calls";
import { failureOf, type Failure } from "./failure";
import { Progress, ProtocolError, type News, type Request } from "./progress";

/** lost: the server is gone after so many tokens, and another is asked. */
export type Event = News | { readonly kind: "lost"; readonly tokens: number; readonly failure: Failure };

// Together 26 to 51 seconds without a token, time for a server to start again.
const ATTEMPTS = 30;
const FIRST_PAUSE = 100;
const LONGEST_PAUSE = 2000;

/**
 * Yields what comes until the sample is finished; continues where its server goes away. Aborting `signal` cancels the
 * call and frees the row on the server. Throws what the call throws.
 */
export async function* generate(calls: Calls, request: Request, signal: AbortSignal): AsyncGenerator<Event> {
  const progress = new Progress(request);
  for (let attempts = 0; !progress.isDone; ) {
    try {
      for await (const response of calls.generation.generate(progress.remaining(), { signal })) {
        const news = progress.take(response);
        if (news) {
          attempts = 0;
          yield news;
        }
      }
      if (!progress.isDone) throw new ProtocolError("the stream ended before its sample");
    } catch (error) {
      const failure = failureOf(error);
      if (signal.aborted || !failure.isLost || ++attempts >= ATTEMPTS) throw error;
      yield { kind: "lost", tokens: progress.length, failure };
      await pause(attempts, failure.retryAfter ?? 0, signal);
    }
  }
}

// Clients that lost the same server at the same moment shall not come back at the same moment.
function pause(attempts: number, least: number, signal: AbortSignal): Promise<void> {
  const longest = Math.min(FIRST_PAUSE * 2 ** (attempts - 1), LONGEST_PAUSE);
  const milliseconds = Math.max(longest * (0.5 + Math.random() / 2), least);
  return new Promise((resolve, reject) => {
    const stop = (): void => {
      clearTimeout(timer);
      reject(signal.reason);
    };
    const timer = setTimeout(() => {
      signal.removeEventListener("abort", stop);
      resolve();
    }, milliseconds);
    signal.addEventListener("abort", stop, { once: true });
  });
}
