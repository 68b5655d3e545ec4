// What the authorization server remembers: all of it, for as long as it runs. The provider's own
// memory forgets after a thousand entries. It looks at the expiry of what it finds by itself.
const rows = new Map();

export class Adapter {
  static clear(...models) {
    for (const key of rows.keys()) if (models.includes(key.split(':')[0])) rows.delete(key);
  }

  constructor(model) { this.model = model; }

  key(id) { return `${this.model}:${id}`; }

  async upsert(id, payload) { rows.set(this.key(id), payload); }

  async find(id) { return rows.get(this.key(id)); }

  async destroy(id) { rows.delete(this.key(id)); }

  async consume(id) { rows.get(this.key(id)).consumed = Math.floor(Date.now() / 1000); }

  async findByUid(uid) { return this.first({ uid }); }

  async findByUserCode(userCode) { return this.first({ userCode }); }

  async revokeByGrantId(grantId) {
    for (const [key, row] of rows) {
      if (key.startsWith(`${this.model}:`) && row.grantId === grantId) rows.delete(key);
    }
  }

  first(wanted) {
    const [[name, value]] = Object.entries(wanted);
    return [...rows].find(([key, row]) => key.startsWith(`${this.model}:`) && row[name] === value)?.[1];
  }
}
