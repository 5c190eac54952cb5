// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.Client;
using Mooncake.Mesh.Tests.Shared;

namespace Mooncake.Mesh.Cluster.Faults;

/// <summary>What the callers of a load do.</summary>
internal sealed record LoadOptions
{
    /// <summary>Clients; every other one takes no shortcut within the host.</summary>
    public int Clients { get; init; } = 4;

    /// <summary>Copies of an object.</summary>
    public int Replicas { get; init; } = 1;

    /// <summary>Objects one client keeps; beyond that it removes its oldest one.</summary>
    public int ObjectsPerClient { get; init; } = 150;

    /// <summary>Largest value, in bytes.</summary>
    public int LargestValue { get; init; } = 100_000;

    /// <summary>Deadline of every call: long for a machine that runs ten processes on two cores.</summary>
    public TimeSpan Deadline { get; init; } = TimeSpan.FromSeconds(3);

    /// <summary>Pause between two calls of one client.</summary>
    public TimeSpan Pace { get; init; } = TimeSpan.FromMilliseconds(2);
}

/// <summary>
/// Clients that put, replace, get, look for and remove objects all the time; every call goes into a history. Each
/// client writes keys of its own and reads those of all.
/// </summary>
internal sealed class HistoryLoad(ServeMesh mesh, NodeLives lives, RunClock clock, ICallSink sink, LoadOptions options)
    : IAsyncDisposable
{
    private readonly List<KnownObject> _objects = [];
    private readonly CancellationTokenSource _stop = new();
    private readonly List<string> _told = [];
    private Task _callers = Task.CompletedTask;
    private long _calls;
    private long _identities;
    private int _failedHeld;
    private volatile bool _mayEvict;

    /// <summary>Calls so far.</summary>
    public long Calls => Volatile.Read(ref _calls);

    /// <summary>
    /// Gets and exists that failed, or found nothing, while a holder served all the time; what they said.
    /// </summary>
    public (int Count, string Text) FailedWhileHeld
    {
        get
        {
            lock (_told)
                return (_failedHeld, string.Join('\n', _told));
        }
    }

    public void Start(int seed) => _callers = Task.WhenAll(
        Enumerable.Range(0, options.Clients).Select(i => Task.Run(() => CallAsync(i, new Random(seed + i)))));

    /// <summary>
    /// Whether objects may be evicted from now on. Of those there are then, and of those put meanwhile, only the
    /// hard-pinned ones must be found: every fourth.
    /// </summary>
    public void LetEvict(bool may)
    {
        _mayEvict = may;
        if (!may)
            return;
        lock (_objects)
            _objects.FindAll(o => !IsPinned(o)).ForEach(o => o.Forget());
    }

    /// <summary>Waits until so many calls more have been made.</summary>
    public async Task GoesOnAsync(int calls = 200)
    {
        long before = Calls;
        await Eventually.True(() => _callers.IsCompleted || Calls > before + calls, TimeSpan.FromSeconds(60),
            () => "the load stands still");
    }

    /// <summary>Ends the calls, with their failures.</summary>
    public async Task StopAsync()
    {
        await _stop.CancelAsync();
        await _callers;
    }

    public async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync();
        await Task.WhenAny(_callers);
        _stop.Dispose();
    }

    private async Task CallAsync(int number, Random random)
    {
        await using var client = await MeshClient.ConnectAsync(new MeshClientOptions
        {
            Cluster = ServeMesh.Cluster,
            Nodes = [.. mesh.Nodes.Select(n => n.Endpoint)],
            Deadline = options.Deadline,
            SameHost = number % 2 == 0,
        });
        var caller = new Caller(number, client, random);
        while (!_stop.IsCancellationRequested)
        {
            int dice = random.Next(100);
            if (caller.Own.Count > options.ObjectsPerClient)
                await RemoveAsync(caller, Take(caller));
            else if (dice < 20 || caller.Own.Count < 10)
                await PutAsync(caller, NewObject(caller), replace: false);
            else if (dice < 25)
                await PutAsync(caller, caller.Own[random.Next(caller.Own.Count)], replace: true);
            else if (dice < 65)
                await GetAsync(caller, AnyObject(random));
            else
                await ExistsAsync(caller, AnyObject(random));
            Interlocked.Increment(ref _calls);
            await Task.Delay(options.Pace);
        }
    }

    private KnownObject NewObject(Caller caller)
    {
        var made = new KnownObject($"c{caller.Number}/{caller.Made++}");
        caller.Own.Add(made);
        lock (_objects)
            _objects.Add(made);
        return made;
    }

    private KnownObject Take(Caller caller)
    {
        var oldest = caller.Own[0];
        caller.Own.RemoveAt(0);
        return oldest;
    }

    private KnownObject AnyObject(Random random)
    {
        lock (_objects)
            return _objects[random.Next(_objects.Count)];
    }

    private async Task PutAsync(Caller caller, KnownObject known, bool replace)
    {
        ulong identity = (ulong)Interlocked.Increment(ref _identities);
        bool large = caller.Random.Next(8) == 0;
        int size = caller.Random.Next(16, large ? options.LargestValue : 4096);
        var put = new PutOptions
        {
            Placement = Placement.Spread,
            Replicas = options.Replicas,
            Replace = replace,
            Deadline = options.Deadline,
            Pin = IsPinned(known) ? ObjectPin.Hard : ObjectPin.None,
        };
        byte[] value = Values.Of(known.Key, identity, size);
        byte[] before = [.. value];
        known.Begin();
        long start = clock.Now;
        var done = await caller.Client.TryPutAsync(known.Key, value, put);
        long end = clock.Now;
        var outcome = done.Succeeded
            ? done.Value.Existed ? CallOutcome.Existed : CallOutcome.Done
            : done.Error!.Code is MeshErrorCode.NoSpace or MeshErrorCode.PinLimit
                ? CallOutcome.Refused
                : CallOutcome.Unknown;
        sink.Add(Record(caller, known, replace ? CallKind.Upsert : CallKind.Put, outcome, start, end) with
        {
            Value = identity,
            Version = done.Succeeded ? done.Value.Version : default,
            ChangedAfterReturn = !before.AsSpan().SequenceEqual(value),
        });
        if (outcome == CallOutcome.Done)
            known.Written(await HoldersAsync(caller, known, start), clock.Now);
        if (outcome != CallOutcome.Done || (_mayEvict && !IsPinned(known)))
            known.Forget();
    }

    /// <summary>The processes that hold an object, as far as they have lived since <paramref name="start"/>.</summary>
    private async Task<NodeLife[]> HoldersAsync(Caller caller, KnownObject known, long start)
    {
        var located = await caller.Client.TryLocateBatchAsync([known.Key]);
        long end = clock.Now;
        return
        [
            .. located.NodesOf(0).Select(lives.Of).OfType<NodeLife>().Where(life => life.Lived(start, end)),
        ];
    }

    private async Task GetAsync(Caller caller, KnownObject known)
    {
        int look = known.Look();
        long start = clock.Now;
        var got = await caller.Client.TryGetAsync(known.Key, new GetOptions { Deadline = options.Deadline });
        long end = clock.Now;
        var outcome = got.Succeeded ? CallOutcome.Done : OutcomeOf(got.Error!);
        var record = Record(caller, known, CallKind.Get, outcome, start, end);
        if (got.Succeeded)
            record = record with { Value = Values.IdentityOf(known.Key, got.Value) };
        Note(record, known, look, got.Error);
    }

    private async Task ExistsAsync(Caller caller, KnownObject known)
    {
        int look = known.Look();
        long start = clock.Now;
        var found = await caller.Client.TryExistsAsync(known.Key);
        long end = clock.Now;
        var outcome = !found.Succeeded
            ? OutcomeOf(found.Error!)
            : found.Value ? CallOutcome.Done : CallOutcome.NotFound;
        Note(Record(caller, known, CallKind.Exists, outcome, start, end), known, look, found.Error);
    }

    private async Task RemoveAsync(Caller caller, KnownObject known)
    {
        known.Begin();
        long start = clock.Now;
        var removed = await caller.Client.TryRemoveAsync(known.Key);
        long end = clock.Now;
        known.Forget();
        lock (_objects)
            _objects.Remove(known);
        var outcome = !removed.Succeeded
            ? CallOutcome.Unknown
            : removed.Value ? CallOutcome.Done : CallOutcome.NotFound;
        sink.Add(Record(caller, known, CallKind.Remove, outcome, start, end));
    }

    private void Note(CallRecord record, KnownObject known, int look, MeshError? error)
    {
        bool failed = record.Outcome is CallOutcome.NotFound or CallOutcome.Unknown;
        bool held = failed && known.WasHeld(look, record.Start, record.End);
        sink.Add(record with { HeldThroughout = held });
        if (!held)
            return;
        lock (_told)
        {
            if (_failedHeld++ < 20)
                _told.Add($"{record}: {error}");
        }
    }

    private CallRecord Record(Caller caller, KnownObject known, CallKind kind, CallOutcome outcome, long start,
        long end) => new()
    {
        Client = caller.Number,
        Start = start,
        End = end,
        Limit = (long)options.Deadline.TotalMicroseconds,
        Kind = kind,
        Key = known.Name,
        Outcome = outcome,
    };

    private static bool IsPinned(KnownObject known) => (known.Key.Hash & 3) == 0;

    private static CallOutcome OutcomeOf(MeshError error) =>
        error.Code == MeshErrorCode.NotFound ? CallOutcome.NotFound : CallOutcome.Unknown;

    /// <summary>One client, and the objects it writes.</summary>
    private sealed class Caller(int number, MeshClient client, Random random)
    {
        public int Number => number;

        public MeshClient Client => client;

        public Random Random => random;

        public List<KnownObject> Own { get; } = [];

        public int Made { get; set; }
    }
}
