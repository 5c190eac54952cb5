// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.Control;
using Mooncake.Mesh.Membership;
using Mooncake.Mesh.Transfer.Engine.Memory;

namespace Mooncake.Mesh.Transfer.Engine.Cards;

/// <summary>
/// An engine's cards, from when they are opened: what is registered is reached by them from then on. Thread-safe.
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
                if (region.IsClosed || Register(region) is not { } refused)
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

    /// <summary>Lets the cards reach a region, where they are open and do not; never one on a device.</summary>
    public TransferError? Register(RegisteredRegion region)
    {
        if (region.Device is not null || Volatile.Read(ref _cards) is not { } cards)
            return null;
        lock (region)
        {
            if (region.IsClosed)
                return new TransferError(TransferErrorCode.AddressNotRegistered, "it is unregistered meanwhile");
            if (region.Cards is not null)
                return null;
            var memory = cards.Register(new NativeRange((nint)region.Address, (long)region.Length), region.IsRemote);
            region.Cards = memory.Succeeded ? memory.Value : null;
            return memory.Error;
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

    private ICardMemory? Find(ulong address, ulong length, out KeysCode code)
    {
        var region = registered.EnterFor(address, length, out var status);
        region?.Leave();
        var memory = region?.Cards;
        code = memory is not null ? KeysCode.Reached
            : region is not null ? KeysCode.NotByCards
            : status == EntryStatus.NotRemote ? KeysCode.NotRemote : KeysCode.NotRegistered;
        return memory;
    }
}
