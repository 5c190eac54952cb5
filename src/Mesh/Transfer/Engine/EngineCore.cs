// SPDX-License-Identifier: Apache-2.0

using System.Globalization;
using System.Text;
using System.Text.Json;
using Microsoft.Extensions.Logging;
using Mooncake.Mesh.Control;
using Mooncake.Mesh.Membership;
using Mooncake.Mesh.Transfer.Engine.Batches;
using Mooncake.Mesh.Transfer.Engine.Cards;
using Mooncake.Mesh.Transfer.Engine.Local;
using Mooncake.Mesh.Transfer.Engine.Memory;
using Mooncake.Mesh.Transfer.Engine.Names;
using Mooncake.Mesh.Transfer.Engine.Tcp;

namespace Mooncake.Mesh.Transfer.Engine;

/// <summary>A transfer engine, put together. Thread-safe.</summary>
internal sealed class EngineCore : IDisposable
{
    private readonly LoadMeter _tcp = new("tcp");
    private readonly LoadMeter _cma = new("cma");
    private readonly LoadMeter _shm = new("shm");
    private readonly LoadMeter _rdma = new("rdma");
    private readonly LoadMeter _selfMeter = new("self");
    private readonly ActiveWorks _works = new();
    private readonly NotifyQueue _notifies = new();
    private readonly ServedSessions _sessions = new();
    private readonly EngineSettings _settings;
    private readonly RegisteredMemory _registered;
    private readonly PeerServer _listening;
    private readonly EngineServer _server;
    private readonly EngineSegments _segments;
    private readonly EngineCardPart _cards;
    private readonly IEngineNames _names;
    private readonly ILogger _log;
    private int _transports;
    private int _closed;

    private EngineCore(EngineSettings settings, MeshRuntime runtime, IMeshRegistry? registry, EngineBoard board,
        IPeerListener listener, Func<string?, TransferResult<IEngineCards>> openCards)
    {
        _settings = settings;
        _log = runtime.Log.CreateLogger("mesh.engine");
        _transports = (int)settings.Transports;
        Port = EngineListener.PortOf(listener);
        Address = HostPort.Join(settings.Host, Port);
        Name = registry is null || settings.Name.Length == 0 ? Address : settings.Name;
        _registered = new RegisteredMemory(board);
        var hello = new Hello
        {
            Cluster = settings.Cluster,
            Lane = Lane.Engine,
            NodeId = Name,
            Incarnation = runtime.Random.NextUInt64(),
            BootId = HostIdentity.BootId,
        };
        var handshake = new Handshake(settings.Secret, runtime);
        var dialer = new EngineDialer(hello, handshake, runtime, settings.ConnectTimeout);
        bool copied = (settings.Transports & (TransferTransports.Cma | TransferTransports.Shm)) != 0;
        _server = new EngineServer(new ServedParts(_registered, _notifies, copied ? _sessions : null), runtime);
        var handler = new PeerHandler(runtime);
        _listening = new PeerServer(_ => hello, handshake, handler, _server.Take, runtime);
        _cards = new EngineCardPart(openCards, _registered, handler, () => new PeerLinks(
            (lane, _) => hello with { Lane = lane }, handshake, new PeerHandler(runtime), runtime, hello.BootId));
        var devices = new EngineDevices(runtime.Devices, runtime);
        Memory = new EngineMemory(_registered, _server, _sessions, _works, _cards, devices, runtime.Time);
        _names = registry is null
            ? new AddressNames()
            : new RegistryNames(registry, new EngineRecord
            {
                Name = Name,
                Address = Address,
                Incarnation = hello.Incarnation,
                Version = HostIdentity.Version,
            }, runtime, settings.LeaseTtl, holder => IsThere(dialer, holder));
        _segments = new EngineSegments(_names, board, hello.BootId, new PeerParts(dialer, settings.Connections,
            runtime.Time, _tcp, _cma, _shm, _rdma, _works.Remove, _cards.RouteTo), () => Transports);
        Transfers = new EngineTransfers(new TransferParts(_registered, _segments, _works,
            new WorkOwner(runtime.Time, _selfMeter, static () => EntryStatus.Unreachable, _works.Remove), devices,
            runtime.Time, settings.TransferTimeout), () => Transports)
        {
            SelfNotify = message => Enqueue(message) ? EntryStatus.Done : EntryStatus.Full,
        };
        _listening.Serve(listener);
    }

    /// <summary>Its port.</summary>
    public int Port { get; }

    /// <summary>Its host:port.</summary>
    public string Address { get; }

    /// <summary>The name that others open.</summary>
    public string Name { get; }

    /// <summary>What is registered.</summary>
    public EngineMemory Memory { get; }

    /// <summary>Batches.</summary>
    public EngineTransfers Transfers { get; }

    /// <summary>The target's side, for its counters.</summary>
    public EngineServer Server => _server;

    /// <summary>What may be used now.</summary>
    public TransferTransports Transports => (TransferTransports)Volatile.Read(ref _transports);

    /// <summary>Starts an engine.</summary>
    /// <param name="settings">How.</param>
    /// <param name="runtime">Clock, scheduler, network and log.</param>
    /// <param name="registry">Where names are announced, owned from now on; null: they are addresses.</param>
    /// <param name="openCards">Opens the RDMA cards, once they are wanted, by a topology where it is not null.</param>
    public static TransferResult<EngineCore> Start(EngineSettings settings, MeshRuntime runtime,
        IMeshRegistry? registry, Func<string?, TransferResult<IEngineCards>> openCards)
    {
        if (ForkMark.IsForked)
        {
            registry?.DisposeAsync().AsTask().GetAwaiter().GetResult();
            return new TransferError(TransferErrorCode.Context, "this process is a fork of one that had an engine");
        }

        var board = EngineBoard.Create(runtime.Random);
        TransferResult<IPeerListener> listener = board.Succeeded
            ? EngineListener.Listen(settings, runtime)
            : new TransferError(TransferErrorCode.Memory, board.Error!.Message);
        if (!listener.Succeeded)
        {
            if (board.Succeeded)
                board.Value.Dispose();
            registry?.DisposeAsync().AsTask().GetAwaiter().GetResult();
            return listener.Error!;
        }

        var core = new EngineCore(settings, runtime, registry, board.Value, listener.Value, openCards);
        if ((core.OpenWanted() ?? core._names.Announce()) is not { } error)
            return core;
        core.Dispose();
        return error;
    }

    /// <summary>Why it cannot be used, or null.</summary>
    public TransferError? Unusable()
    {
        if (Volatile.Read(ref _closed) != 0)
            return new TransferError(TransferErrorCode.Context, "the engine is closed");
        return ForkMark.IsForked
            ? new TransferError(TransferErrorCode.Context, "this process is a fork: engines work in its parent alone")
            : null;
    }

    /// <summary>Allows a transport.</summary>
    /// <param name="transport">Which.</param>
    /// <param name="topology">Of cards: which serve which memory; null: as the options say.</param>
    /// <returns>Null; of cards, why they cannot be used.</returns>
    public TransferError? Allow(TransferTransports transport, string? topology)
    {
        if (transport.HasFlag(TransferTransports.Rdma) && _cards.Open(topology) is { } error)
            return error;
        Interlocked.Or(ref _transports, (int)transport);
        return null;
    }

    /// <summary>Forbids a transport; false: it was not allowed.</summary>
    public bool Forbid(TransferTransports transport) =>
        (Interlocked.And(ref _transports, ~(int)transport) & (int)transport) != 0;

    /// <summary>Opens a segment; 0 is this engine's own.</summary>
    public TransferResult<int> Open(string name, bool ask) =>
        name == Name || name == Address ? 0 : _segments.Open(name, ask);

    /// <summary>Closes a segment once.</summary>
    public TransferError? Close(int id) => id == 0 ? null : _segments.Close(id);

    /// <summary>Learns anew which process each open segment is.</summary>
    public void LearnAll() => _segments.LearnAll();

    /// <summary>Asks whether an engine is there.</summary>
    public TransferError? Probe(string name) => name == Name || name == Address ? null : _segments.Probe(name);

    /// <summary>Withdraws the own name.</summary>
    public TransferError? Withdraw(string name)
    {
        if (name != Name && name != Address)
            return new TransferError(TransferErrorCode.InvalidArgument, $"'{name}' is not this engine, '{Name}'");
        _names.WithdrawAsync().GetAwaiter().GetResult();
        return null;
    }

    /// <summary>Where the first memory of a segment begins.</summary>
    public TransferResult<ulong> FirstAddress(int id)
    {
        if (id == 0)
        {
            return _registered.Regions is [var first, ..]
                ? first.Address
                : new TransferError(TransferErrorCode.AddressNotRegistered, "no memory is registered");
        }

        return _segments.Find(id) is { } peer
            ? _segments.FirstAddress(peer)
            : new TransferError(TransferErrorCode.InvalidArgument, $"segment {id} is not open");
    }

    /// <summary>Sends a message and waits until it has been taken.</summary>
    public TransferError? Notify(int id, TransferNotify message)
    {
        if (NotifyQueue.Check(message) is { } wrong)
            return wrong;
        EntryStatus status;
        if (id == 0)
            status = Enqueue(message) ? EntryStatus.Done : EntryStatus.Full;
        else if (_segments.Find(id) is { } peer)
            status = TaskWait.ResultOf(Transfers.NotifyAsync(peer, message));
        else
            return new TransferError(TransferErrorCode.InvalidArgument, $"segment {id} is not open");
        return status switch
        {
            EntryStatus.Done => null,
            EntryStatus.Full => new TransferError(TransferErrorCode.TooManyRequests,
                $"{NotifyQueue.MostWaiting} messages, or {NotifyQueue.MostWaitingBytes} bytes of them, wait there"),
            _ => new TransferError(TransferErrorCode.Endpoint, FailureTexts.Of(status)),
        };
    }

    /// <summary>The messages that have come.</summary>
    public IReadOnlyList<TransferNotify> TakeNotifies() => _notifies.Take();

    /// <summary>What each transport carries.</summary>
    public IReadOnlyList<RailLoad> Loads() => [_tcp.Load, _cma.Load, _shm.Load, .. _cards.Loads];

    /// <summary>The open segments, for people.</summary>
    public string ShowLinks()
    {
        var text = new StringBuilder();
        text.Append(CultureInfo.InvariantCulture, $"{Name} at {Address}\n");
        foreach (var (id, name, peer) in _segments.List())
        {
            text.Append(CultureInfo.InvariantCulture,
                $"{id} {name} at {peer.Address} by {WayTo(peer)}\n");
        }

        return text.ToString();
    }

    /// <summary>The open segments as JSON.</summary>
    public string ShowLinksAsJson()
    {
        using var buffer = new MemoryStream();
        using (var json = new Utf8JsonWriter(buffer))
        {
            json.WriteStartObject();
            json.WriteString("name", Name);
            json.WriteString("address", Address);
            json.WriteStartArray("links");
            foreach (var (id, name, peer) in _segments.List())
            {
                json.WriteStartObject();
                json.WriteNumber("id", id);
                json.WriteString("name", name);
                json.WriteString("address", peer.Address);
                json.WriteString("transport", WayTo(peer));
                json.WriteEndObject();
            }

            json.WriteEndArray();
            json.WriteEndObject();
        }

        return Encoding.UTF8.GetString(buffer.GetBuffer(), 0, (int)buffer.Length);
    }

    /// <summary>Ends everything; when it returns nothing touches registered memory.</summary>
    public void Dispose()
    {
        if (Interlocked.Exchange(ref _closed, 1) != 0)
            return;
        if (!ForkMark.IsForked)
            CloseAsync().GetAwaiter().GetResult();
    }

    private string WayTo(EnginePeer peer) => peer.Session?.Name
        ?? (peer.Cards is { IsHopeful: true } && Transports.HasFlag(TransferTransports.Rdma) ? "rdma" : "tcp");

    /// <summary>Opens the cards that were asked for; where there are other ways, they may be missing.</summary>
    private TransferError? OpenWanted()
    {
        if (!Transports.HasFlag(TransferTransports.Rdma) || _cards.Open(null) is not { } error)
            return null;
        if (Transports == TransferTransports.Rdma || error.Code != TransferErrorCode.DeviceNotFound)
            return error;
        _log.LogInformation("engine_without_cards reason={Reason}", error.Message);
        return null;
    }

    private async Task CloseAsync()
    {
        await _listening.DisposeAsync();
        await Task.Run(_works.Close);
        await _segments.CloseAsync();
        await Transfers.DisposeAsync();
        await Task.Run(Memory.EndAll);
        await _cards.DisposeAsync();
        await _server.DisposeAsync();
        await _names.DisposeAsync();
        _registered.Dispose();
        _log.LogDebug("engine_closed name={Name} garbage={Garbage} refused={Refused}", _settings.Name,
            _server.GarbageConnections, _server.RefusedEntries);
    }

    private bool Enqueue(TransferNotify message) => _notifies.TryAdd(message,
        Encoding.UTF8.GetByteCount(message.Name) + Encoding.UTF8.GetByteCount(message.Message));

    private static bool IsThere(EngineDialer dialer, EngineRecord record)
    {
        var dialled = dialer.Dial(record.Address, record.Incarnation, CancellationToken.None);
        if (dialled.Succeeded)
            dialled.Value.Socket.Dispose();
        return dialled.Succeeded;
    }
}
