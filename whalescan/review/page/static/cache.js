// Cache of responses by path. When it is full, the entry that was used least recently is removed.

export class PromiseCache {
  constructor(limit, load, dispose = () => {}) {
    Object.assign(this, { limit, load, dispose, promises: new Map() });
  }

  /** A promise of the content of a path, requested once; a failed request is repeated on the next call. */
  get(path) {
    const cached = this.promises.get(path);
    this.promises.delete(path);
    const promise = cached || this.load(path);
    this.promises.set(path, promise);
    promise.catch(() => this.promises.delete(path));
    for (const [oldestPath, oldest] of this.promises) {
      if (this.promises.size <= this.limit) break;
      this.promises.delete(oldestPath);
      oldest.then(this.dispose, () => {});
    }
    return promise;
  }

  /** Remove an entry, so that the next call requests it again. */
  delete(path) {
    this.promises.delete(path);
  }
}
