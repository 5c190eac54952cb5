// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.Transfer.Engine.Cards;
using Mooncake.Mesh.Transfer.Engine.Local;
using Mooncake.Mesh.Transfer.Engine.Memory;
using Mooncake.Mesh.Transfer.Engine.Names;
using Mooncake.Mesh.Transfer.Engine.Tcp;

namespace Mooncake.Mesh.Transfer.Engine;

/// <summary>
/// The segments that are open, and the process that each leads to. To open one is to ask who is there now. Thread-safe.
/// </summary>
/// <param name="names">Who is where.</param>
/// <param name="board">Our board.</param>
/// <param name="bootId">Boot id of this host.</param>
/// <param name="parts">What peers share.</param>
/// <param name="transports">What is allowed now.</param>
internal sealed class EngineSegments(IEngineNames names, EngineBoard board, string bootId, PeerParts parts,
    Func<TransferTransports> transports)
{
    /// <summary>Most segments open at one time.</summary>
    public const int Most = 65_536;

    private readonly Lock _gate = new();
    private readonly Dictionary<string, Segment> _byName = new(StringComparer.Ordinal);
    private readonly Dictionary<int, Segment> _byId = [];
    private int _lastId;
    private bool _closed;

    /// <summary>Opens a segment, or learns anew which process an open one is.</summary>
    /// <param name="name">Its name.</param>
    /// <param name="ask">Whether to ask also where an open segment's process is seen to live.</param>
    public TransferResult<int> Open(string name, bool ask)
    {
        var segment = SegmentOf(name);
        if (segment is null)
            return new TransferError(TransferErrorCode.TooManyRequests, $"{Most} segments are open, the limit");
        lock (segment.Gate)
        {
            bool known = !ask && segment is { Opened: > 0, Peer.IsSurelyThere: true };
            if (!known && Learn(segment) is { } error)
            {
                Forget(segment);
                return error;
            }

            segment.Opened++;
            lock (_gate)
                _byId[segment.Id] = segment;
            return segment.Id;
        }
    }

    /// <summary>Closes a segment once.</summary>
    public TransferError? Close(int id)
    {
        Segment? segment;
        lock (_gate)
            segment = _byId.GetValueOrDefault(id);
        if (segment is null)
            return NotOpen(id);
        lock (segment.Gate)
        {
            if (segment.Opened == 0)
                return NotOpen(id);
            segment.Opened--;
            Forget(segment);
        }

        return null;
    }

    /// <summary>Learns anew which process each open segment is.</summary>
    public void LearnAll()
    {
        foreach (var segment in All())
        {
            lock (segment.Gate)
            {
                if (segment.Opened > 0)
                    Learn(segment);
            }
        }
    }

    /// <summary>The process a segment leads to, or null: it is not open.</summary>
    public EnginePeer? Find(int id)
    {
        lock (_gate)
            return _byId.GetValueOrDefault(id)?.Peer;
    }

    /// <summary>The open segments, by id.</summary>
    public IReadOnlyList<(int Id, string Name, EnginePeer Peer)> List()
    {
        lock (_gate)
        {
            var list = new List<(int, string, EnginePeer)>();
            foreach (var (id, segment) in _byId)
                list.Add((id, segment.Name, segment.Peer!));
            list.Sort(static (a, b) => a.Item1.CompareTo(b.Item1));
            return list;
        }
    }

    /// <summary>Asks whether an engine is there.</summary>
    public TransferError? Probe(string name)
    {
        var dialled = Dial(name);
        if (!dialled.Succeeded)
            return dialled.Error;
        using var connection = new EngineConnection(dialled.Value.Dialled.Socket, parts.Time);
        return connection.TryAsk(EngineOperation.Probe, out _)
            ? null
            : new TransferError(TransferErrorCode.Endpoint, $"'{name}' did not answer");
    }

    /// <summary>Where the first memory of a segment begins.</summary>
    public TransferResult<ulong> FirstAddress(EnginePeer peer)
    {
        var dialled = parts.Dialer.Dial(peer.Address, peer.Incarnation, CancellationToken.None);
        if (!dialled.Succeeded)
            return dialled.Error!;
        using var connection = new EngineConnection(dialled.Value.Socket, parts.Time);
        if (!connection.TryAsk(EngineOperation.FirstAddress, out var answer))
            return new TransferError(TransferErrorCode.Endpoint, $"{peer.Address} did not answer");
        return answer.Status == EntryStatus.Done
            ? (ulong)answer.Bytes
            : new TransferError(TransferErrorCode.AddressNotRegistered, $"{peer.Address} has no memory for peers");
    }

    /// <summary>Closes all of them, and waits for their threads.</summary>
    public async ValueTask CloseAsync()
    {
        lock (_gate)
            _closed = true;
        foreach (var segment in All())
        {
            // Whoever opens it now finds that all is closed, after this.
            EnginePeer? peer;
            lock (segment.Gate)
                peer = segment.Peer;
            if (peer is not null)
                await peer.CloseAsync();
        }
    }

    private static TransferError NotOpen(int id) =>
        new(TransferErrorCode.InvalidArgument, $"segment {id} is not open");

    private Segment[] All()
    {
        lock (_gate)
            return [.. _byName.Values];
    }

    private Segment? SegmentOf(string name)
    {
        lock (_gate)
        {
            if (_byName.TryGetValue(name, out var known))
                return known;
            if (_byName.Count >= Most)
                return null;
            return _byName[name] = new Segment(++_lastId, name);
        }
    }

    /// <summary>Forgets a segment that nobody has open; under its gate.</summary>
    private void Forget(Segment segment)
    {
        if (segment.Opened > 0)
            return;
        lock (_gate)
        {
            _byId.Remove(segment.Id);
            if (_byName.GetValueOrDefault(segment.Name) == segment)
                _byName.Remove(segment.Name);
        }

        segment.Peer?.Retire();
        segment.Peer = null;
    }

    private TransferResult<(DialledEngine Dialled, string Address)> Dial(string name)
    {
        var record = names.Find(name);
        if (!record.Succeeded)
            return record.Error!;
        var dialled = parts.Dialer.Dial(record.Value.Address, record.Value.Incarnation, CancellationToken.None);
        return dialled.Succeeded ? (dialled.Value, record.Value.Address) : dialled.Error!;
    }

    /// <summary>Asks who is there, and leads the segment to that process; under its gate.</summary>
    private TransferError? Learn(Segment segment)
    {
        // Under the segment's gate, which is taken again by whoever closes them all.
        lock (_gate)
        {
            if (_closed)
                return new TransferError(TransferErrorCode.Context, "the engine is closed");
        }

        var asked = Dial(segment.Name);
        if (!asked.Succeeded)
            return asked.Error;
        var (dialled, address) = asked.Value;
        if (segment.Peer is { IsSound: true } same && same.Incarnation == dialled.Hello.Incarnation
            && same.Address == address)
        {
            same.Confirm(dialled.Socket);
            return null;
        }

        var allowed = transports();
        bool here = bootId.Length > 0 && dialled.Hello.BootId == bootId;
        var session = here && (allowed & (TransferTransports.Cma | TransferTransports.Shm)) != 0
            ? LocalSession.TryOpen(dialled.Socket, board, allowed)
            : null;
        var cards = parts.RouteTo(address, dialled.Hello.Incarnation);
        if (session is null && !allowed.HasFlag(TransferTransports.Tcp) && !IsReachedBy(cards, allowed))
        {
            _ = cards?.DisposeAsync().AsTask();
            dialled.Socket.Dispose();
            return new TransferError(TransferErrorCode.Endpoint,
                $"'{segment.Name}' is reached by none of the transports that are allowed: {allowed}");
        }

        var peer = new EnginePeer(address, dialled.Hello.Incarnation, session,
            session is null ? dialled.Socket : null, cards, parts);
        EnginePeer? before;
        lock (_gate)
        {
            before = segment.Peer;
            segment.Peer = peer;
        }

        before?.Retire();
        return null;
    }

    private static bool IsReachedBy(ICardRoute? cards, TransferTransports allowed) => cards is not null
        && allowed.HasFlag(TransferTransports.Rdma) && cards.IsOpenAsync(CardTicket.Patience).GetAwaiter().GetResult();

    private sealed class Segment(int id, string name)
    {
        public object Gate { get; } = new();

        public int Id => id;

        public string Name => name;

        public int Opened { get; set; }

        public EnginePeer? Peer { get; set; }
    }
}
