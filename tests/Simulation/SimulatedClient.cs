// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.Flow;
using Mooncake.Mesh.Segments;
using Mooncake.Mesh.Tests.Shared;

namespace Mooncake.Mesh.Simulation;

/// <summary>
/// One client: makes calls, one after the other, and notes each as it saw it. It lives in a node's process or in one of
/// its own; when that is killed, the call under way ends as unknown, and the next one is made by the next life.
/// </summary>
internal sealed class SimulatedClient(SimulatedMesh mesh, int id, ClientHome home)
{
    private static readonly string[] Names = [.. Enumerable.Range(0, 48).Select(i => $"key-{i}")];

    /// <summary>Longest pause of a client in a hurry, in microseconds.</summary>
    private const int Hurry = 20_000;
    private static readonly TimeSpan CallLimit = TimeSpan.FromSeconds(1);
    private readonly RandomSource _random = RandomSource.FromSeed((int)mesh.World.Random.NextUInt64());
    private Pending? _pending;
    private SimulatedProcess? _lived;
    private int _life;
    private int _left;
    private string? _removed;
    private Membership.MeshConfig? _config;
    private int _past;

    /// <summary>Whether it has made all its calls.</summary>
    public bool IsDone => _left == 0 && _pending is null;

    /// <summary>Has it make <paramref name="calls"/> calls, at random times.</summary>
    public void Start(int calls)
    {
        _left = calls;
        CallLater();
    }

    /// <summary>Has it make no more calls.</summary>
    public void Stop() => _left = 0;

    /// <summary>A process was killed.</summary>
    public void Killed(SimulatedProcess process)
    {
        if (_pending is { } pending && pending.Process == process)
            End(pending, CallOutcome.Unknown, 0, default);
    }

    private void CallLater()
    {
        if (_left > 0)
        {
            int most = _random.Next(4) == 0 ? Hurry : 2 * mesh.Shape.MeanPause;
            mesh.World.Clock.After(TimeSpan.FromMicroseconds(_random.Next(most)), Call);
        }
    }

    private void Call()
    {
        if (_left == 0)
            return;
        if (home.Open() is not { } open)
        {
            CallLater();
            return;
        }

        _left--;
        // Whoever has removed something often looks whether it is gone.
        string key = _removed ?? Names[_random.Next(mesh.Shape.Keys)];
        var kind = _removed is not null ? CallKind.Get : _random.Next(100) switch
        {
            < 29 => CallKind.Put,
            < 39 => CallKind.Upsert,
            < 48 => CallKind.Remove,
            < 58 => CallKind.Exists,
            _ => CallKind.Get,
        };
        _removed = null;
        // A new process knows nothing of what the one before it has seen: it is another client.
        if (open.Process != _lived)
            (_lived, _life, _config) = (open.Process, _life + 1, null);
        var pending = _pending = new Pending(open.Process, (id * 100) + _life, kind, key, mesh.World.Clock.Microseconds,
            mesh.Observer.HoldersOf(key, open));
        var operations = pending.Operations = open.Operations;
        _ = open.Process.Start(() => kind switch
        {
            CallKind.Put or CallKind.Upsert when _random.Next(8) == 0 => new LateAttempt(_random).RunAsync(
                operations, pending.Key, pending.Value = _random.NextUInt64(), kind == CallKind.Upsert,
                paused => pending.HeldOpen = (long)paused.TotalMicroseconds,
                (outcome, version) => End(pending, outcome, pending.Value, version)),
            CallKind.Put or CallKind.Upsert => PutAsync(pending, operations),
            CallKind.Get when open.Node is not null && _random.Next(3) == 0 => ViewAsync(pending, operations),
            CallKind.Get => GetAsync(pending, operations),
            CallKind.Exists => ExistAsync(pending, operations),
            _ => RemoveAsync(pending, operations),
        });
    }

    private async Task PutAsync(Pending pending, MeshOperations operations)
    {
        byte[] buffer = mesh.Memory.Take();
        pending.Buffer = buffer;
        ulong value = pending.Value = _random.NextUInt64();
        int size = Stamped.Least + _random.Next(_random.Next(2) == 0 ? CallerMemory.Most - Stamped.Least : 2000);
        Stamped.Fill(buffer.AsSpan(0, size), value);
        var options = new PutOptions
        {
            Replace = pending.Kind == CallKind.Upsert,
            Replicas = 1 + (_random.Next(4) / 3),
            Placement = (Placement)_random.Next(2),
            Deadline = CallLimit,
        };
        var result = await operations.PutAsync(new MeshKey(pending.Key), buffer.AsMemory(0, size), options,
            CancellationToken.None);
        // Whoever still reads it now would store something else.
        buffer.AsSpan().Fill(0xEE);
        var outcome = result.Succeeded
            ? result.Value.Existed ? CallOutcome.Existed : CallOutcome.Done
            : Failed(result.Error!);
        End(pending, outcome, value, result.Succeeded && !result.Value.Existed ? result.Value.Version : default);
    }

    private async Task GetAsync(Pending pending, MeshOperations operations)
    {
        byte[] buffer = pending.Buffer = mesh.Memory.Take();
        var target = new RangeTarget(new Transfer.NativeRange(AddressOf(buffer), buffer.Length));
        using var patience = new CancellationTokenSource(
            _random.Next(8) == 0 ? TimeSpan.FromMilliseconds(1 + _random.Next(300)) : Timeout.InfiniteTimeSpan,
            pending.Process.Time);
        var result = await operations.GetAsync(new MeshKey(pending.Key), target,
            new GetOptions { Verify = _random.Next(2) == 0, Deadline = CallLimit }, patience.Token);
        if (result.Succeeded)
        {
            ulong value = Stamped.Read(buffer.AsSpan(0, (int)result.Value));
            var version = mesh.Observer.VersionOf(pending.Key, value);
            End(pending, CallOutcome.Done, value, SeenOf(pending, operations, version));
        }
        else
        {
            End(pending, Failed(result.Error!), 0, default);
        }
    }

    /// <summary>A get that looks at the bytes where they are, for a while.</summary>
    private async Task ViewAsync(Pending pending, MeshOperations operations)
    {
        var view = await operations.ViewAsync(new MeshKey(pending.Key),
            new ViewOptions { Verify = false, Deadline = CallLimit }, CancellationToken.None);
        // Most are held elsewhere, where no view can be had; that is no miss.
        if (!view.Succeeded)
        {
            End(pending, view.Error!.Code == MeshErrorCode.Unavailable ? CallOutcome.Unknown : Failed(view.Error), 0,
                default);
            return;
        }

        ulong first = Read(view.Value);
        var version = SeenOf(pending, operations, mesh.Observer.VersionOf(pending.Key, first));
        var opened = TimeSpan.FromMilliseconds(_random.Next(3000));
        pending.HeldOpen = (long)opened.TotalMicroseconds;
        await Task.Delay(opened, pending.Process.Time);
        ulong last = Read(view.Value);
        view.Value.Dispose();
        End(pending, CallOutcome.Done, first == last ? first : CallRecord.Torn, version);
    }

    /// <summary>
    /// What a caller may have seen of a version that somebody has. One object may have several, one on each side of a
    /// split: the caller has not seen one that is greater than any that its process knows of.
    /// </summary>
    private static RecordVersion SeenOf(Pending pending, MeshOperations operations, RecordVersion known)
    {
        var seen = operations.Context.Seen.VersionOf(new MeshKey(pending.Key).Hash);
        return !seen.IsNone && seen < known ? seen : known;
    }

    private async Task ExistAsync(Pending pending, MeshOperations operations)
    {
        var result = await operations.ExistAsync([new MeshKey(pending.Key)], CallLimit, CancellationToken.None);
        End(pending, result[0].Succeeded ? result[0].Value ? CallOutcome.Done : CallOutcome.NotFound
            : Failed(result[0].Error!), 0, default);
    }

    private async Task RemoveAsync(Pending pending, MeshOperations operations)
    {
        var result = await operations.RemoveAsync(new MeshKey(pending.Key), CallLimit, CancellationToken.None);
        if (result is { Succeeded: true, Value: true })
        {
            pending.Value = mesh.Observer.Removed(pending.Key, pending.Held);
            _removed = _random.Next(2) == 0 ? pending.Key : null;
        }

        bool removed = result.Succeeded && result.Value;
        End(pending, result.Succeeded ? removed ? CallOutcome.Done : CallOutcome.NotFound : Failed(result.Error!), 0,
            removed ? operations.Context.Seen.VersionOf(new MeshKey(pending.Key).Hash) : default);
    }

    private void End(Pending pending, CallOutcome outcome, ulong value, RecordVersion version)
    {
        if (_pending != pending)
            return;
        _pending = null;
        long now = mesh.World.Clock.Microseconds;
        ulong held = outcome == CallOutcome.NotFound ? mesh.Observer.StillHeld(pending.Held) : 0;
        if (value == 0)
            value = pending.Value;
        int at = mesh.History.Add(new CallRecord
        {
            Client = pending.Caller,
            Start = pending.Start,
            End = now,
            Limit = (long)CallLimit.TotalMicroseconds + pending.HeldOpen + pending.Process.StoppedFor
                - pending.StoppedBefore,
            Kind = pending.Kind,
            Key = pending.Key,
            Outcome = outcome,
            Value = held != 0 ? held : value,
            Version = version,
            Past = PastOf(pending.Operations!.Context.View.Config),
            HeldThroughout = held != 0,
        });
        mesh.World.Log($"call {mesh.History.Calls[at]}");
        if (pending.Buffer is { } buffer && !pending.Process.IsDead)
            mesh.Memory.Give(buffer, () => mesh.History.BufferChanged(at));
        CallLater();
    }

    /// <summary>In which mesh the client is, counted from 0: one that took another over goes on with it.</summary>
    private int PastOf(Membership.MeshConfig config)
    {
        if (_config is { MeshId: var before } && config.MeshId != before && !config.Replaces.Contains(before))
            _past++;
        _config = config;
        if (config.MeshId != 0)
            mesh.History.Meshes.Add(config.MeshId);
        return _past;
    }

    private static CallOutcome Failed(MeshError error) => error.Code switch
    {
        MeshErrorCode.NotFound => CallOutcome.NotFound,
        MeshErrorCode.NoSpace or MeshErrorCode.InvalidArgument => CallOutcome.Refused,
        _ => CallOutcome.Unknown,
    };

    private static unsafe nint AddressOf(byte[] pinned)
    {
        fixed (byte* first = pinned)
            return (nint)first;
    }

    private static unsafe ulong Read(MappedView view) =>
        Stamped.Read(new ReadOnlySpan<byte>((void*)view.Range.Address, (int)view.Size));

    /// <summary>A call under way.</summary>
    private sealed class Pending(SimulatedProcess process, int caller, CallKind kind, string key, long start,
        IReadOnlyList<HeldCopy> held)
    {
        public SimulatedProcess Process => process;

        public int Caller => caller;

        public CallKind Kind => kind;

        public string Key => key;

        public long Start => start;

        public IReadOnlyList<HeldCopy> Held => held;

        /// <summary>How long its process had been stopped when it began: time that no deadline can count.</summary>
        public long StoppedBefore { get; } = process.StoppedFor;

        public byte[]? Buffer { get; set; }

        public ulong Value { get; set; }

        public MeshOperations? Operations { get; set; }

        public long HeldOpen { get; set; }
    }
}

/// <summary>A client's connection to the mesh at this moment.</summary>
/// <param name="Process">Whose steps its calls are.</param>
/// <param name="Operations">What it calls.</param>
/// <param name="Node">The node it lives in, or null.</param>
internal sealed record OpenClient(SimulatedProcess Process, MeshOperations Operations, SimulatedNode? Node);

/// <summary>Where a client lives: in the node of a machine, or in a process of its own on it.</summary>
internal sealed class ClientHome(SimulatedMesh mesh, int machine, bool inNode)
{
    private SimulatedProcess? _process;
    private ClientPeer? _peer;
    private bool _connected;

    /// <summary>The client's process and connection, if they are there.</summary>
    public OpenClient? Open()
    {
        if (inNode)
        {
            return mesh.NodeOn(machine) is { IsUp: true, Process.IsStopped: false } node
                ? new OpenClient(node.Process, node.Node!.Operations, node)
                : null;
        }

        if (_process is null)
            Connect();
        return _connected ? new OpenClient(_process!, _peer!.Operations, null) : null;
    }

    private void Connect()
    {
        var process = _process = new SimulatedProcess(mesh.World, $"client@{machine}", machine);
        var runtime = mesh.RuntimeOf(process, new MeshRuntime
        {
            Time = process.Time,
            Scheduler = process.Scheduler,
            Random = RandomSource.FromSeed((int)mesh.World.Random.NextUInt64()),
            Network = process.Network,
            Log = mesh.World.LogOf(process.Name),
        });
        var registry = new Membership.EmbeddedRegistry(mesh.World.Etcd, runtime);
        _peer = new ClientPeer("default", [], registry, runtime, "");
        _ = process.Start(async () =>
        {
            while (await _peer.ConnectAsync(TimeSpan.FromSeconds(5), CancellationToken.None) is not null)
            {
            }

            _connected = true;
        });
    }
}
