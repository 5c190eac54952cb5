// SPDX-License-Identifier: Apache-2.0

using Microsoft.Extensions.Logging;
using Mooncake.Mesh.Control;
using Mooncake.Mesh.Segments;
using Mooncake.Mesh.Transfer;
using Mooncake.Mesh.Transfer.Engine.Cards;
using Mooncake.Mesh.Verbs.Mesh;

namespace Mooncake.Mesh.Verbs.Engine;

/// <summary>
/// What an engine answers to peers whose cards want to reach its memory: queue pairs as at a node, and the keys of what
/// is registered at the time. Thread-safe.
/// </summary>
internal sealed class CardCalls(RdmaEngine engine, FindForPeers find, ILogger log) : IVerbsCalls
{
    private readonly RdmaServer _pairs = new(engine, [], new NothingReserved(), log);

    /// <inheritdoc/>
    public MeshResult<VerbsOpenAnswer> Open(in VerbsOpenRequest request, PeerChannel channel) =>
        _pairs.Open(request, channel);

    /// <inheritdoc/>
    public Task<MeshResult<VerbsPairAnswer>> PairAsync(VerbsPairRequest request, PeerChannel channel) =>
        _pairs.PairAsync(request, channel);

    /// <inheritdoc/>
    public Task<MeshResult<VerbsPullAnswer>> PullAsync(VerbsPullRequest request, PeerChannel channel) =>
        _pairs.PullAsync(request, channel);

    /// <inheritdoc/>
    public MeshResult<VerbsKeysAnswer> Keys(in VerbsKeysRequest request)
    {
        var found = find(request.Address, request.Length);
        if (found.Code is not (KeysCode.Reached or KeysCode.NotByCards))
            return VerbsKeysAnswer.None(found.Code);
        if (found.Cards is not CardMemory { Memory: var memory }
            || (found.Device.Length > 0 && !request.PushesToDevices)
            || (long)engine.Rails.Count * memory.Parts > VerbsLimits.MaxKeys)
        {
            return new VerbsKeysAnswer(KeysCode.NotByCards,
                new RemoteRegion(found.Address, (long)found.Length, (long)found.Length), [], found.Device);
        }

        uint[] keys = new uint[engine.Rails.Count * memory.Parts];
        for (int card = 0; card < engine.Rails.Count; card++)
            memory.CopyKeys(card, keys.AsSpan(card * memory.Parts, memory.Parts));
        return new VerbsKeysAnswer(KeysCode.Reached, memory.Region, keys, found.Device);
    }

    /// <summary>An engine's peers write by themselves: nothing is reserved for them.</summary>
    private sealed class NothingReserved : IReservedMemory
    {
        public Reservation? BeginWrite(ulong id) => null;

        public void EndWrite(ulong id)
        {
        }
    }
}
