// SPDX-License-Identifier: Apache-2.0

using System.Runtime.InteropServices;
using Microsoft.Extensions.Logging;
using Mooncake.Mesh.Control;
using Mooncake.Mesh.Devices;
using Mooncake.Mesh.Transfer;
using Mooncake.Mesh.Transfer.Engine;
using Mooncake.Mesh.Transfer.Rails;
using Mooncake.Mesh.Transfer.Topology;
using Mooncake.Mesh.Verbs.Cards;
using Mooncake.Mesh.Verbs.Devices;
using Mooncake.Mesh.Verbs.Gids;
using Mooncake.Mesh.Verbs.Memory;
using Mooncake.Mesh.Verbs.Queues;
using Mooncake.Mesh.Verbs.Transfers;

namespace Mooncake.Mesh.Verbs;

/// <summary>
/// The cards of this process, the memory they can reach, and the peers they are connected to. It moves bytes between
/// registered memory here and at a peer; who the peers are and how they are found is its caller's matter. Thread-safe.
/// </summary>
internal sealed class RdmaEngine : IAsyncDisposable
{
    /// <summary>The first try of a small InfiniBand MTU; what two ports have in common is used.</summary>
    private const byte MinRnrTimer = 12;
    private const byte HopLimit = 64;

    private readonly Lock _gate = new();
    private readonly List<LocalMemory> _kept = [];
    private readonly HashSet<RdmaPeer> _peers = [];
    private readonly CardStatus[] _gone;
    private readonly CardSet _cards;
    private readonly RailPreferences _preferences;
    private readonly TimeProvider _time;
    private readonly RandomSource _random;
    private readonly ILogger _log;
    private bool _isClosed;

    private RdmaEngine(CardSet cards, TopologyMatrix matrix, RdmaOptions options, MeshRuntime runtime)
    {
        _cards = cards;
        _preferences = new RailPreferences(matrix, cards.Rails);
        Options = options;
        _time = runtime.Time;
        _random = runtime.Random;
        _log = runtime.Log.CreateLogger("mesh.verbs");
        Id = runtime.Random.NextUInt64();
        _gone = [.. cards.Rails.Select(rail => new CardStatus(rail.Device, 0, 0, 0))];
        cards.OnDown = CardDown;
        cards.OnUp = CardUp;
        cards.Start();
    }

    /// <summary>Names this process, in this life, to its peers.</summary>
    public ulong Id { get; }

    /// <summary>What the user said.</summary>
    public RdmaOptions Options { get; }

    /// <summary>Clock.</summary>
    public TimeProvider Time => _time;

    /// <summary>The cards, by number.</summary>
    public IReadOnlyList<RailPort> Rails => _cards.Rails;

    /// <summary>How the cards are.</summary>
    public CardSet Cards => _cards;

    /// <summary>Opens the cards; on any error nothing is left open.</summary>
    /// <returns>
    /// InvalidArgument for options that cannot be, or name what is not there; Unavailable where there is no card.
    /// </returns>
    public static MeshResult<RdmaEngine> Open(RdmaOptions options, MeshRuntime runtime)
    {
        if (options.Validate() is [var error, ..])
            return error;
        var hardware = new SysfsReader("/sys").Read();
        MeshResult<TopologyMatrix> matrix = options.Topology is { } text ? TopologyParser.Parse(text, hardware.Nics)
            : TopologyMatrix.Of(hardware);
        if (!matrix.Succeeded)
            return matrix.Error!;
        var cards = CardSet.Open(options, new GidWish { Index = options.GidIndex },
            runtime.Log.CreateLogger("mesh.verbs"));
        return cards.Succeeded ? new RdmaEngine(cards.Value, matrix.Value, options, runtime) : cards.Error!;
    }

    /// <summary>
    /// Lets the cards reach memory, until it is disposed; where a card is lost and found again it is registered anew.
    /// </summary>
    /// <param name="range">The memory; it must outlive the registration.</param>
    /// <param name="access">Who may do what.</param>
    /// <param name="isShared">Whether <see cref="Find"/> may give it to others; else it is the caller's alone.</param>
    /// <returns>The registration; System when a card refuses, most often as so much may not be locked.</returns>
    public async Task<MeshResult<LocalMemory>> RegisterAsync(NativeRange range, MemoryAccess access,
        bool isShared = true)
    {
        if (range.Validate("verbs:register", "memory") is { } invalid || range.Length == 0)
        {
            return range.Validate("verbs:register", "memory")
                ?? new MeshError(MeshErrorCode.InvalidArgument, "verbs:register", "memory has 0 bytes");
        }

        var memory = new LocalMemory(range, _cards.PartBytes, Ordered(access), _cards.Count) { IsShared = isShared };
        return await RegisterAsync(memory);
    }

    /// <summary>Lets the cards reach memory of an accelerator, for all, until it is released.</summary>
    /// <param name="device">The memory, in one range; it must outlive the registration.</param>
    /// <param name="access">Who may do what.</param>
    /// <returns>As for memory of the host; System where there is neither dma-buf nor nvidia_peermem.</returns>
    public Task<MeshResult<LocalMemory>> RegisterAsync(DeviceBuffer device, MemoryAccess access) =>
        RegisterAsync(new LocalMemory(new NativeRange(device.Ranges[0].Address, device.Length), _cards.PartBytes,
            Ordered(access), _cards.Count)
        {
            Device = device,
        });

    private MemoryAccess Ordered(MemoryAccess access) =>
        Options.RelaxedOrdering ? access | MemoryAccess.RelaxedOrdering : access;

    private async Task<MeshResult<LocalMemory>> RegisterAsync(LocalMemory memory)
    {
        lock (_gate)
        {
            if (_isClosed)
                return new MeshError(MeshErrorCode.Closed, "verbs:register", "the cards have been closed");
            _kept.Add(memory);
        }

        var tasks = new List<Task<MeshError?>>();
        for (int i = 0; i < _cards.Count; i++)
        {
            int card = i;
            if (_cards.LifeOf(card) is { } life)
                tasks.Add(Task.Run(() => Register(memory, card, life)));
        }

        MeshError? refused = tasks.Count == 0
            ? new MeshError(MeshErrorCode.Unavailable, "verbs:register", "no card is there at present")
            : null;
        foreach (var task in tasks)
            refused ??= await task;
        if (refused is null)
        {
            memory.Places = memory.Device is { } device
                ? MemoryPlaces.All(memory.Range, _preferences, device.Location)
                : MemoryPlaces.Of(memory.Range, _preferences);
            return memory;
        }

        Release(memory);
        return refused;
    }

    /// <summary>Ends a registration. Nothing that names it may be on its way.</summary>
    public void Release(LocalMemory memory)
    {
        lock (_gate)
            _kept.Remove(memory);
        memory.Dispose();
    }

    /// <summary>Registered memory that holds all of a range and allows this, or null.</summary>
    public LocalMemory? Find(NativeRange range, MemoryAccess access)
    {
        lock (_gate)
        {
            foreach (var memory in _kept)
            {
                if (memory.IsShared && memory.Allows(access) && memory.Contains(range))
                    return memory;
            }
        }

        return null;
    }

    /// <summary>A new peer, to be given back by <see cref="RemoveAsync"/>.</summary>
    /// <param name="connector">Makes its queue pairs; null: the peer does.</param>
    public RdmaPeer AddPeer(IConnector? connector)
    {
        var peer = new RdmaPeer(Rails, _preferences, connector, _time, _log);
        lock (_gate)
            _peers.Add(peer);
        return peer;
    }

    /// <summary>Ends the queue pairs of a peer.</summary>
    public async Task RemoveAsync(RdmaPeer peer)
    {
        await peer.CloseAsync();
        lock (_gate)
        {
            if (_peers.Remove(peer))
                Add(_gone, peer);
        }
    }

    /// <summary>A queue pair to a peer, not connected yet, and its end for the peer.</summary>
    /// <exception cref="VerbsException">Refused by the device.</exception>
    public (Endpoint Endpoint, PairEnd End)? TryCreate(RdmaPeer peer, int card, int remoteCard)
    {
        if (_cards.LifeOf(card) is not { IsUp: true } life
            || life.Create(peer, card, remoteCard, Options) is not { } endpoint)
            return null;
        var port = life.Port;
        byte[] gid = new byte[Gid.Size];
        new Gid(life.Gid.Gid.Gid).CopyTo(gid);
        try
        {
            endpoint.Pair.Initialize(port.Number, 0, MemoryAccess.RemoteRead | MemoryAccess.RemoteWrite);
        }
        catch (VerbsException)
        {
            life.Destroy(endpoint);
            throw;
        }

        return (endpoint, new PairEnd(endpoint.Pair.Number, (uint)_random.NextUInt64() & 0xff_ffff, port.Lid, gid,
            port.ActiveMtu, life.Device.Limits.MaxRdAtomic));
    }

    /// <summary>Connects a queue pair with the peer's end.</summary>
    /// <exception cref="VerbsException">Refused: the link is down, or the end cannot be.</exception>
    public void Connect(Endpoint endpoint, PairEnd own, PairEnd remote)
    {
        var life = endpoint.Life;
        bool ethernet = life.Port.LinkLayer == LinkLayer.Ethernet;
        var gid = Gid.FromBytes(remote.Gid);
        byte served = (byte)Math.Clamp(Math.Min(own.Reads, 255), 1, 255);
        endpoint.Pair.ReadyToReceive(new RemoteQueuePair(remote.Number, remote.Sequence, gid, (ushort)remote.Lid),
            new PathSettings(Math.Clamp(Math.Min(own.Mtu, remote.Mtu), 256, 4096), ethernet || remote.Lid == 0,
                (byte)life.Gid.Gid.Index, HopLimit, (byte)Options.TrafficClass, (byte)Options.ServiceLevel, served,
                MinRnrTimer));
        int asked = Math.Min(remote.Reads, life.Device.Limits.MaxInitRdAtomic);
        endpoint.Pair.ReadyToSend(own.Sequence, (byte)Options.Timeout, (byte)Options.Retries, (byte)Options.Retries,
            (byte)Math.Clamp(asked, 1, 255));
    }

    /// <summary>What each card has carried, both ways, for peers that are there and those that have gone.</summary>
    public IEnumerable<CardStatus> Counts()
    {
        var counts = new CardStatus[Rails.Count];
        lock (_gate)
        {
            _gone.CopyTo(counts, 0);
            foreach (var peer in _peers)
                Add(counts, peer);
        }

        return counts;
    }

    /// <summary>What each card carries now, to all peers.</summary>
    public IReadOnlyList<RailLoad> Loads()
    {
        var loads = new RailLoad[Rails.Count];
        for (int i = 0; i < loads.Length; i++)
            loads[i] = new RailLoad(Rails[i].Device, 0, 0);
        foreach (var peer in Peers())
        {
            var rails = peer.Counts;
            for (int i = 0; i < loads.Length; i++)
            {
                loads[i] = new RailLoad(loads[i].Device, loads[i].InflightBytes + (ulong)rails[i].InFlight,
                    loads[i].BytesPerSecond + rails[i].Bandwidth);
            }
        }

        return loads;
    }

    private static void Add(CardStatus[] counts, RdmaPeer peer)
    {
        var rails = peer.Counts;
        for (int i = 0; i < counts.Length; i++)
        {
            counts[i] = new CardStatus(rails[i].Port.Device, counts[i].Bytes + rails[i].Bytes,
                counts[i].Errors + rails[i].Errors, counts[i].Pauses + rails[i].Pauses);
        }
    }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        RdmaPeer[] peers;
        lock (_gate)
        {
            _isClosed = true;
            peers = [.. _peers];
        }

        foreach (var peer in peers)
            await RemoveAsync(peer);
        LocalMemory[] kept;
        lock (_gate)
        {
            kept = [.. _kept];
            _kept.Clear();
        }

        foreach (var memory in kept)
            memory.Dispose();
        _cards.Dispose();
    }

    private MeshError? Register(LocalMemory memory, int card, CardLife life)
    {
        try
        {
            memory.Register(card, life);
            if (life.IsClosing)
                memory.Forget(card);
            return null;
        }
        catch (Exception e) when (life.IsClosing && e is VerbsException or ObjectDisposedException)
        {
            // It was lost meanwhile: registered when it is found again.
            return null;
        }
        catch (VerbsException e)
        {
            return new MeshError(MeshErrorCode.System, "verbs:register",
                $"{_cards.Rails[card].Device}: {e.Message}");
        }
    }

    private void CardDown(int card, bool lost)
    {
        _log.LogWarning("card_down card={Card} lost={Lost}", Rails[card].Device, lost);
        foreach (var peer in Peers())
            peer.CardDown(card, Rails[card]);
        if (!lost)
            return;
        // Queue pairs go before what they name.
        foreach (var peer in Peers())
            peer.WaitForEnd(card);
        foreach (var memory in Kept())
            memory.Forget(card);
    }

    private void CardUp(int card, CardLife life, bool found)
    {
        _log.LogInformation("card_up card={Card} found={Found}", Rails[card].Device, found);
        if (found)
        {
            foreach (var memory in Kept())
            {
                if (Register(memory, card, life) is { } refused)
                    _log.LogError("card_refuses_memory reason={Reason}", refused.Message);
            }
        }

        foreach (var peer in Peers())
            peer.CardUp(card, Rails[card]);
    }

    private RdmaPeer[] Peers()
    {
        lock (_gate)
            return [.. _peers];
    }

    private LocalMemory[] Kept()
    {
        lock (_gate)
            return [.. _kept];
    }
}
