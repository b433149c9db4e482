import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import * as assert from 'uvu/assert';
import { EtcdStore } from '../../../sdk/cluster/etcd-store.js';
import { UltimaError } from '../../../sdk/errors.js';
import { suite } from '../../support/suite.js';
import { assertRejects, Seen } from './contract.js';

/** Members of a cluster that misbehave, on real sockets: what is said, and what is done next. */
const test = suite('calls to etcd');

interface Call {
  readonly path: string;
  readonly body: Record<string, unknown>;
  readonly authorization: string | undefined;
}

/** What a member does with a call. */
type Reply = (response: ServerResponse, call: Call) => void;

class Member {
  readonly calls: Call[] = [];
  private readonly server: Server;
  private readonly reply: Reply;

  constructor(reply: Reply) {
    this.reply = reply;
    this.server = createServer((request, response) => void this.hear(request, response));
  }

  async listen(): Promise<string> {
    await new Promise<void>((resolve) => this.server.listen(0, '127.0.0.1', resolve));
    const address = this.server.address();
    return `http://127.0.0.1:${typeof address === 'object' ? address?.port : ''}`;
  }

  private async hear(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const parts: Buffer[] = [];
    for await (const part of request) parts.push(part);
    const body = JSON.parse(Buffer.concat(parts).toString());
    const { authorization } = request.headers;
    const call = { path: request.url ?? '', body, authorization };
    this.calls.push(call);
    this.reply(response, call);
  }

  close(): void {
    this.server.closeAllConnections();
    this.server.close();
  }
}

function say(...answers: readonly object[]): Reply {
  let calls = 0;
  return (response) => {
    response.end(JSON.stringify(answers[Math.min(calls++, answers.length - 1)]));
  };
}

const header = { cluster_id: '7', revision: '5' };
const applied = { header, succeeded: true };
const found = { header, kvs: [{ key: 'YQ==', value: 'Yg==', mod_revision: '4' }] };
const drop: Reply = (response) => response.destroy();
const silent: Reply = () => {};
const half: Reply = (response) => {
  response.writeHead(200, { 'content-length': 100 });
  response.write('{"header"');
  setImmediate(() => response.destroy());
};

/** Run with members that each answer so; null is a place where nobody listens. */
async function withMembers(
  replies: readonly (Reply | null)[],
  body: (store: EtcdStore, members: readonly Member[]) => Promise<void>,
  options: { readonly user?: string; readonly password?: string } = {},
): Promise<void> {
  const members: Member[] = [];
  const endpoints: string[] = [];
  for (const reply of replies) {
    const member = new Member(reply ?? drop);
    endpoints.push(await member.listen());
    if (reply === null) member.close();
    else members.push(member);
  }
  const store = new EtcdStore({ endpoints, timeoutMs: 150, ...options });
  try {
    await body(store, members);
  } finally {
    await store.close();
    for (const member of members) member.close();
  }
}

const commit = (store: EtcdStore) => store.commit([], [{ key: 'a', value: new Uint8Array([98]) }]);

test('a commit that was sent and not answered is unknown, and is not sent again', async () => {
  for (const reply of [drop, silent, half]) {
    await withMembers([reply, say(applied)], async (store, members) => {
      const error = await assertRejects(() => commit(store), /may or may not be applied; read/);
      assert.is(error?.code, 'STORE_UNKNOWN');
      assert.equal(
        members.map(({ calls }) => calls.length),
        [1, 0],
      );
    });
  }
});

test('a commit that was surely not sent goes to the next member', async () => {
  await withMembers([null, null, say(applied)], async (store, [member]) => {
    assert.equal(await commit(store), { outcome: 'applied', revision: 5 });
    // And so does what follows, to the one that answered.
    assert.equal(await commit(store), { outcome: 'applied', revision: 5 });
    assert.is(member!.calls.length, 2);
  });
});

test('a commit that no member could be told of was not done', async () => {
  await withMembers([null, null], async (store) => {
    const error = await assertRejects(() => commit(store), /no member .* nothing was changed/);
    assert.is(error?.code, 'STORE_UNREACHABLE');
  });
});

test('a question goes from member to member until one answers', async () => {
  const busy = say({ error: 'etcdserver: no leader', code: 14 });
  await withMembers([null, drop, silent, busy, say(found)], async (store, members) => {
    const entry = await store.read('a');
    assert.equal([entry?.key, entry?.value[0], entry?.revision], ['a', 98, 4]);
    assert.equal(
      members.map(({ calls }) => calls.length),
      [1, 1, 1, 1],
    );
  });
  await withMembers([busy, silent], async (store) => {
    const error = await assertRejects(() => store.read('a'), /no leader; .*no answer within 150/);
    assert.is(error?.code, 'STORE_UNREACHABLE');
  });
});

test('what a member says no to was not done; what it cannot say is unknown', async () => {
  const cases: readonly (readonly [number, string, string])[] = [
    [3, 'etcdserver: duplicate key', 'STORE_REFUSED'],
    [5, 'etcdserver: requested lease not found', 'NOT_FOUND'],
    [5, 'etcdserver: something else', 'STORE_REFUSED'],
    [7, 'etcdserver: permission denied', 'STORE_REFUSED'],
    [9, 'etcdserver: user name is empty', 'STORE_REFUSED'],
    [11, 'etcdserver: future', 'STORE_REFUSED'],
    [16, 'etcdserver: authentication failed', 'STORE_REFUSED'],
    [2, 'context canceled', 'STORE_UNKNOWN'],
    [4, 'deadline', 'STORE_UNKNOWN'],
    [13, 'internal', 'STORE_UNKNOWN'],
    [14, 'etcdserver: request timed out', 'STORE_UNKNOWN'],
  ];
  for (const [code, error, expected] of cases) {
    await withMembers([say({ error, code }), say(applied)], async (store, members) => {
      const refusal = await assertRejects(() => commit(store), /./);
      assert.is(refusal?.code, expected, error);
      assert.is(members[1]!.calls.length, 0, error);
    });
  }
});

test('answers that no etcd gives are not believed', async () => {
  const [entry] = found.kvs;
  const answers: readonly object[] = [
    {},
    [],
    { header: { cluster_id: '7', revision: 5 } },
    { header: { cluster_id: 7, revision: '5' } },
    { header: { cluster_id: 'seven', revision: '5' } },
    { header: { ...header, revision: '-5' } },
    { header: { ...header, revision: '12345678901234567' } },
    { header: { ...header, revision: '9007199254740993' } },
    { header, kvs: {} },
    { header, kvs: ['a'] },
    { header, kvs: [{ ...entry, key: 7 }] },
    { header, kvs: [{ ...entry, value: [1] }] },
    { header, kvs: [{ ...entry, mod_revision: 'x' }] },
  ];
  for (const answer of answers) {
    await withMembers([say(answer)], async (store) => {
      const error = await assertRejects(() => store.read('a'), /which no etcd does|no member/);
      assert.ok(['STORE_INVALID', 'STORE_UNREACHABLE'].includes(String(error?.code)));
    });
  }
});

test('a cluster that has fallen back, and another one, are told from the one that was known', async () => {
  for (const [next, expected] of [
    [{ ...header, revision: '4' }, /at revision 4, but has shown revision 5/],
    [{ ...header, cluster_id: '8' }, /belong to etcd cluster 8, before it was 7/],
  ] as const) {
    await withMembers([say(found, { header: next })], async (store) => {
      await store.read('a');
      const error = await assertRejects(() => store.read('a'), expected);
      assert.is(error?.code, 'STORE_ROLLED_BACK');
    });
  }
});

test('who has a name shows its token, and gets another one when that has become old', async () => {
  let tokens = 0;
  const answer: Reply = (response, { path, body, authorization }) => {
    const isRight = body.name === 'me' && body.password === 'secret';
    const stale = { error: 'etcdserver: invalid auth token', code: 16 };
    const shown = path === '/v3/kv/range' && authorization === `token ${tokens}` ? found : stale;
    const login = isRight ? { header, token: `token ${++tokens}` } : stale;
    response.end(JSON.stringify(path === '/v3/auth/authenticate' ? login : shown));
    if (shown === found) tokens = 7;
  };
  const options = { user: 'me', password: 'secret' };
  const body = async (store: EtcdStore, [member]: readonly Member[]): Promise<void> => {
    assert.is((await store.read('a'))?.revision, 4);
    assert.is((await store.read('a'))?.revision, 4);
    assert.equal(
      member!.calls.map(({ path, authorization = '' }) => `${path.slice(4)} ${authorization}`),
      [
        'auth/authenticate ',
        'kv/range token 1',
        'kv/range token 1',
        'auth/authenticate ',
        'kv/range token 8',
      ],
    );
  };
  await withMembers([answer], body, options);
  await withMembers(
    [say({ header, token: 7 })],
    async (store) => {
      const error = await assertRejects(() => store.read('a'), /as a token/);
      assert.is(error?.code, 'STORE_INVALID');
    },
    options,
  );
  const no = say({ error: 'etcdserver: authentication failed, invalid user', code: 3 });
  await withMembers(
    [no],
    async (store) => {
      const error = await assertRejects(() => store.read('a'), /check user, password/);
      assert.is(error?.code, 'STORE_REFUSED');
    },
    options,
  );
});

test('a lease lasts as long as etcd says, in whole seconds', async () => {
  const granted: Reply = (response, { body }) => {
    response.end(JSON.stringify({ header, ID: '77', TTL: body.TTL }));
  };
  await withMembers([granted], async (store, [member]) => {
    const { id, ttlMs } = await store.grantLease(4_001);
    assert.equal([id, ttlMs], ['77', 5_000]);
    assert.equal(member!.calls[0]!.body, { TTL: '5' });
  });
});

/** One watch event of each revision, as etcd streams them. */
function lines(...revisions: readonly number[]): string {
  const events = revisions.map((revision) => ({
    kv: { key: 'YQ==', mod_revision: `${revision}` },
  }));
  const last = { cluster_id: '7', revision: `${revisions.at(-1) ?? 5}` };
  return `${JSON.stringify({ result: { header: last, events } })}\n`;
}

/** The first word of a member that has seen so much. */
function createdAt(revision: number): string {
  const seen = { ...header, revision: `${revision}` };
  return `${JSON.stringify({ result: { header: seen, created: true } })}\n`;
}

test('a watch goes on at the next member from what it was told, and tells nothing twice', async () => {
  const created = createdAt(50);
  const breaks: readonly Reply[] = [
    (response) => response.end(created + lines(6) + lines(7)),
    (response) => response.end(`${created}${lines(6, 7, 8)}what no etcd says\n${lines(9)}`),
    (response) => response.end(`${created}${lines(8, 9).slice(0, 20)}`),
    (response) => response.end(`${JSON.stringify({ result: { canceled: true } })}\n`),
  ];
  const last: Reply = (response) => void response.write(created + lines(9) + lines(10, 11));
  await withMembers([...breaks, last], async (store, members) => {
    const seen = new Seen();
    store.watch('a', 5, seen);
    await seen.until(6);
    assert.equal(
      seen.events.map(({ revision }) => revision),
      [6, 7, 8, 9, 10, 11],
    );
    assert.equal(
      members.map(({ calls }) => calls.map(({ body }) => Object(body.create_request))),
      [6, 8, 9, 9, 9].map((from) => [
        { key: 'YQ==', range_end: 'Yg==', start_revision: String(from) },
      ]),
    );
  });
});

test('a watch ends when changes are forgotten, and when the whole cluster has fallen back', async () => {
  const forgotten = { result: { header, canceled: true, compact_revision: '40' } };
  await withMembers(
    [(response) => response.end(`${JSON.stringify(forgotten)}\n`)],
    async (store) => {
      const seen = new Seen();
      store.watch('a', 5, seen);
      const failure = await seen.failure;
      assert.ok(failure instanceof UltimaError && failure.code === 'STORE_COMPACTED');
    },
  );
  // The member is behind what was told; so is its quorum, or it is not.
  for (const quorum of [29, 30]) {
    const answer: Reply = (response, { path }) => {
      if (path !== '/v3/watch')
        response.end(JSON.stringify({ header: { ...header, revision: `${quorum}` } }));
      else response.write(quorum === 30 ? createdAt(5) + lines(31) : createdAt(5));
    };
    await withMembers([answer], async (store) => {
      const seen = new Seen();
      store.watch('a', 30, seen);
      if (quorum === 30) await seen.until(1);
      else {
        const failure = await seen.failure;
        assert.ok(failure instanceof UltimaError && failure.code === 'STORE_ROLLED_BACK');
      }
    });
  }
});

test('places and time limits that cannot be are refused before anything is sent', () => {
  const endpoints = ['http://127.0.0.1:1'];
  assert.throws(() => new EtcdStore({ endpoints: [] }), /0 endpoints/);
  for (const timeoutMs of [99, 60_001, Number.NaN]) {
    assert.throws(() => new EtcdStore({ endpoints, timeoutMs }), /100 to 60000/);
  }
  for (const place of ['', '127.0.0.1:2379', 'ftp://a', 'unix:/a']) {
    assert.throws(() => new EtcdStore({ endpoints: [place] }), /is no endpoint of etcd/, place);
  }
  const store = new EtcdStore({ endpoints });
  for (const revision of [-1, 0.5, 2 ** 53]) {
    assert.throws(() => store.watch('a', revision, new Seen()), /a whole number from 0 on/);
  }
});

test.run();
