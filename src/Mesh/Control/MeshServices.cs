// SPDX-License-Identifier: Apache-2.0

using MessagePack;
using Mooncake.Mesh.Membership;

namespace Mooncake.Mesh.Control;

/// <summary>
/// What a node answers as a holder (rank 0). Synchronous by type: a handler of rank 0 or 1 cannot wait for another
/// node, so no cycle of waiting handlers can form.
/// </summary>
internal interface IHolderCalls
{
    Done Drop(in DropRequest request);

    /// <summary>Waits for a device at most, where one has the bytes; never for another node.</summary>
    ValueTask<MeshResult<ReadAnswer>> ReadAsync(in ReadRequest request);

    HolderPage List(in HolderListRequest request);

    Done Abandon(in AbandonRequest request);

    MeshResult<Done> Pin(in PinRequest request);

    Done DropGroup(in DropGroupRequest request);

    ClearAnswer Clear(in ClearRequest request);

    MeshResult<MatchPage> Match(in MatchRequest request);

    MeshResult<ViewAnswer> View(in ViewExtentRequest request);

    /// <summary>The holder's part of a call of rank 1: what the owner located is put in view, if it is here.</summary>
    MeshResult<ViewKeyAnswer> View(in ViewKeyRequest request, LocateAnswer located);

    SumsAnswer Sums(in SumsRequest request);
}

/// <summary>
/// What a node with cards answers (rank 0): it waits for its cards at most, never for another node. What is connected
/// over a channel ends with it.
/// </summary>
internal interface IVerbsCalls
{
    MeshResult<VerbsOpenAnswer> Open(in VerbsOpenRequest request, PeerChannel channel);

    Task<MeshResult<VerbsPairAnswer>> PairAsync(VerbsPairRequest request, PeerChannel channel);

    Task<MeshResult<VerbsPullAnswer>> PullAsync(VerbsPullRequest request, PeerChannel channel);

    MeshResult<VerbsKeysAnswer> Keys(in VerbsKeysRequest request);
}

/// <summary>What a node answers as an owner (rank 1); synchronous for the same reason.</summary>
internal interface IOwnerCalls
{
    OwnerAnswers Publish(in PublishRequest request);

    OwnerAnswers Mirror(in MirrorRequest request);

    LocateAnswer Locate(in LocateRequest request);

    /// <summary>
    /// The same for a request as it came: <paramref name="reader"/> stands at its body, the keys are used where they
    /// lie in <paramref name="frame"/>, and the answer's body is written without a copy between.
    /// </summary>
    void Locate(ref MessagePackReader reader, ReadOnlySpan<byte> frame, ref MessagePackWriter answer);

    OwnerAnswers Retract(in RetractRequest request);

    SlotPage Pull(in SlotPullRequest request);

    SlotStateAnswer State(in SlotStateRequest request);

    Done Owe(in OweRequest request);

    ClaimAnswer Claim(in ClaimRequest request);

    OwnerAnswers Settle(in SettleRequest request);
}

/// <summary>What a node does for clients (rank 2); may await calls of rank 0 and 1.</summary>
internal interface IClientCalls
{
    Task<MeshResult<PutAnswer>> PutAsync(PutRequest request, CancellationToken cancel);

    Task<MeshResult<ReserveAnswer>> ReserveAsync(ReserveRequest request, PeerChannel? from, CancellationToken cancel);

    Task<MeshResult<PutAnswer>> SealAsync(SealRequest request, CancellationToken cancel);

    Task<MeshResult<OwnerAnswers>> RemoveAsync(RemoveRequest request, CancellationToken cancel);

    Task<MeshResult<RemoveAllAnswer>> RemoveAllAsync(RemoveAllRequest request, CancellationToken cancel);
}

/// <summary>What a node says of itself.</summary>
internal interface INodeCalls
{
    PingAnswer Ping(in PingRequest request, PeerChannel from);

    ViewPage PullView(in ViewPullRequest request);

    StatusAnswer Status();
}
