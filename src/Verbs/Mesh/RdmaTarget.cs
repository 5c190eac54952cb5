// SPDX-License-Identifier: Apache-2.0

using Microsoft.Extensions.Logging;
using Mooncake.Mesh.Control;
using Mooncake.Mesh.Membership;
using Mooncake.Mesh.Transfer;
using Mooncake.Mesh.Transfer.Rails;
using Mooncake.Mesh.Verbs.Memory;
using Mooncake.Mesh.Verbs.Transfers;

namespace Mooncake.Mesh.Verbs.Mesh;

/// <summary>
/// A node whose memory the cards read: what it announced over its verbs lane, and the queue pairs to it. It ends with
/// the lane's connection, and then another takes its place. Thread-safe.
/// </summary>
internal sealed class RdmaTarget : IConnector
{
    private static readonly TimeSpan PairTimeout = TimeSpan.FromSeconds(1);

    private readonly RdmaEngine _engine;
    private readonly PeerChannel _channel;
    private readonly RemoteMemory[] _regions;
    private readonly ILogger _log;
    private long _breaks;

    private RdmaTarget(RdmaEngine engine, PeerChannel channel, in VerbsOpenAnswer opened, ILogger log)
    {
        _engine = engine;
        _channel = channel;
        _log = log;
        RemoteCards = opened.Cards.Length;
        _regions = new RemoteMemory[opened.Regions.Length];
        int firstKey = 0;
        for (int i = 0; i < _regions.Length; i++)
        {
            _regions[i] = new RemoteMemory(opened.Regions[i], firstKey);
            firstKey += (int)opened.Regions[i].Parts;
        }

        Peer = engine.AddPeer(this);
        _ = EndWithChannelAsync();
    }

    /// <summary>The queue pairs.</summary>
    public RdmaPeer Peer { get; }

    /// <inheritdoc/>
    public int RemoteCards { get; }

    /// <summary>Whether the node can still be asked for queue pairs.</summary>
    public bool IsOpen => _channel.IsOpen;

    /// <summary>The lane's connection.</summary>
    public PeerChannel Channel => _channel;

    /// <summary>Asks a node what cards can reach there.</summary>
    public static async Task<MeshResult<RdmaTarget>> OpenAsync(RdmaEngine engine, PeerLinks links, NodeRecord node,
        ILogger log, TimeSpan timeout, CancellationToken cancel)
    {
        var channel = await links.ConnectAsync(node, Lane.Verbs, timeout, cancel);
        if (!channel.Succeeded)
            return channel.Error!;
        var opened = await channel.Value.CallAsync<VerbsOpenRequest, VerbsOpenAnswer>(
            new VerbsOpenRequest(engine.Id), timeout, cancel);
        if (!opened.Succeeded)
            return opened.Error!;
        return opened.Value.Cards.Length == 0
            ? new MeshError(MeshErrorCode.Unavailable, "verbs:open", $"{node.NodeId} has no card")
            : new RdmaTarget(engine, channel.Value, opened.Value, log);
    }

    /// <summary>What our requests bear: raised by <see cref="BreakAllAsync"/>.</summary>
    public ulong Number => _engine.Id + (ulong)Interlocked.Read(ref _breaks);

    /// <summary>
    /// Breaks every queue pair: the node reads nothing here once this has ended, nor does it go on with what it was
    /// asked before once there are others.
    /// </summary>
    public Task BreakAllAsync()
    {
        Interlocked.Increment(ref _breaks);
        return Peer.BreakAllAsync();
    }

    /// <summary>The bytes of a segment; null: there is no such segment.</summary>
    public RemoteMemory? Bytes(int segmentId) => Region(segmentId * 2L);

    /// <summary>The generation words of a segment; null: there is no such segment.</summary>
    public RemoteMemory? Words(int segmentId) => Region((segmentId * 2L) + 1);

    /// <inheritdoc/>
    public async Task<Endpoint?> ConnectAsync(RdmaPeer peer, int card, int remoteCard, Attempt attempt)
    {
        Endpoint? made = null;
        try
        {
            if (_engine.TryCreate(peer, card, remoteCard) is not var (endpoint, own))
                return null;
            made = endpoint;
            var answer = await _channel.CallAsync<VerbsPairRequest, VerbsPairAnswer>(
                new VerbsPairRequest(Number, card, remoteCard, own), PairTimeout, CancellationToken.None);
            if (!answer.Succeeded)
            {
                Refused(card, remoteCard, answer.Error!.Message);
                return null;
            }

            if (!attempt.TryConnect(() => _engine.Connect(endpoint, own, answer.Value.End)))
                return null;
            endpoint.RemoteKeys = answer.Value.Keys;
            made = null;
            return endpoint;
        }
        catch (Exception e) when (e is VerbsException or ObjectDisposedException)
        {
            Refused(card, remoteCard, e.Message);
        }
        finally
        {
            made?.Life.Destroy(made);
        }

        return null;
    }

    private void Refused(int card, int remoteCard, string reason) => _log.LogInformation(
        "pair_not_made card={Card} to={To} reason={Reason}", _engine.Rails[card].Device, remoteCard, reason);

    private RemoteMemory? Region(long number) =>
        number >= 0 && number < _regions.Length ? _regions[number] : null;

    private async Task EndWithChannelAsync()
    {
        await _channel.Closed;
        await _engine.RemoveAsync(Peer);
    }
}
