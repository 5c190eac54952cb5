// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.Control;
using Mooncake.Mesh.Membership;
using Mooncake.Mesh.Transfer.Engine.Memory;

namespace Mooncake.Mesh.Transfer.Engine.Cards;

/// <summary>
/// An engine's cards, from when they are opened: what is registered is reached by them from then on. Memory of devices
/// is, where it can be; a device that stands still is waited for outside of all locks. Thread-safe.
/// </summary>
/// <param name="open">Opens the cards, by a topology or as it is configured; DeviceNotFound: there are none.</param>
/// <param name="registered">What is registered.</param>
/// <param name="handler">Answers the peers whose cards ask.</param>
/// <param name="links">Makes what connects to a peer.</param>
internal sealed class EngineCardPart(Func<string?, TransferResult<IEngineCards>> open, RegisteredMemory registered,
    PeerHandler handler, Func<PeerLinks> links) : IAsyncDisposable
{
    private readonly Lock _gate = new();
    private IEngineCards? _cards;
    private bool _closed;

    /// <summary>What each card carries; none where they are not open.</summary>
    public IReadOnlyList<RailLoad> Loads => Volatile.Read(ref _cards)?.Loads() ?? [];

    /// <summary>Opens the cards, unless they are open, and has them reach what is registered.</summary>
    /// <returns>Null; DeviceNotFound; InvalidArgument of the options; Memory: then they are not open.</returns>
    public TransferError? Open(string? topology)
    {
        if (OpenForHost(topology) is { } error)
            return error;
        foreach (var region in registered.Regions)
        {
            if (region.Device is not null)
                Register(region);
        }

        return null;
    }

    /// <summary>
    /// Lets the cards reach a region, where they are open and do not. Memory of a device that they cannot reach is left
    /// to other transports: that is no error.
    /// </summary>
    public TransferError? Register(RegisteredRegion region)
    {
        if (Volatile.Read(ref _cards) is not { } cards || region.Cards is not null)
            return null;
        var range = region.Device?.RangeOf((nint)region.Address, (long)region.Length)
            ?? new NativeRange((nint)region.Address, (long)region.Length);
        var memory = cards.Register(range, region.IsRemote);
        if (!memory.Succeeded && !region.IsClosed)
            return region.Device is null ? memory.Error : null;
        lock (region)
        {
            if (!region.IsClosed && region.Cards is null)
            {
                region.Cards = memory.Value;
                return null;
            }
        }

        if (memory.Succeeded)
            memory.Value.Dispose();
        return region.IsClosed
            ? new TransferError(TransferErrorCode.AddressNotRegistered, "it is unregistered meanwhile")
            : null;
    }

    private TransferError? OpenForHost(string? topology)
    {
        lock (_gate)
        {
            if (_closed)
                return new TransferError(TransferErrorCode.Context, "the engine is closed");
            if (_cards is not null)
                return null;
            var opened = open(topology);
            if (!opened.Succeeded)
                return opened.Error;
            // From now on whoever registers memory lets them reach it: none is missed.
            Volatile.Write(ref _cards, opened.Value);
            foreach (var region in registered.Regions)
            {
                if (region.Device is not null || Register(region) is not { } refused || region.IsClosed)
                    continue;
                Volatile.Write(ref _cards, null);
                foreach (var other in registered.Regions)
                    Release(other);
                opened.Value.DisposeAsync().AsTask().GetAwaiter().GetResult();
                return refused;
            }

            handler.Verbs = opened.Value.Serve(Find);
            return null;
        }
    }

    /// <summary>
    /// Ends what the cards reach of a region; those of peers are refused by ours from then on. None of our own requests
    /// that use it is on its way.
    /// </summary>
    public static void Release(RegisteredRegion region)
    {
        lock (region)
        {
            region.Cards?.Dispose();
            region.Cards = null;
        }
    }

    /// <summary>The cards' way to a peer; null: they are not open.</summary>
    /// <param name="address">Its host:port.</param>
    /// <param name="incarnation">Which process it is.</param>
    public ICardRoute? RouteTo(string address, ulong incarnation) => Volatile.Read(ref _cards)?.RouteTo(links(),
        new NodeRecord { NodeId = address, Incarnation = incarnation, Endpoints = [address] });

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        IEngineCards? cards;
        lock (_gate)
        {
            _closed = true;
            cards = _cards;
            Volatile.Write(ref _cards, null);
        }

        if (cards is not null)
            await cards.DisposeAsync();
    }

    private CardRange Find(ulong address, ulong length)
    {
        if (registered.EnterFor(address, length, out var status) is not { } region)
        {
            return new CardRange(status == EntryStatus.NotRemote ? KeysCode.NotRemote : KeysCode.NotRegistered, 0, 0,
                "", null);
        }

        region.Leave();
        var cards = region.Cards;
        return new CardRange(cards is null ? KeysCode.NotByCards : KeysCode.Reached, region.Address, region.Length,
            region.Device?.Location ?? "", cards);
    }
}
