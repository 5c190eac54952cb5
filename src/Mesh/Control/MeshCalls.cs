// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.Membership;

namespace Mooncake.Mesh.Control;

/// <summary>
/// Every call to a node, as typed methods: to ourselves directly, to others over a link. Owner calls between nodes go
/// on the owner lane, everything of clients on the client lane.
/// </summary>
internal sealed class MeshCalls(PeerLinks links, PeerHandler local, string selfId)
{
    private readonly bool _isNode = selfId.Length > 0;

    public PeerLinks Links => links;

    public Task<MeshResult<OwnerAnswers>> PublishAsync(NodeRecord node, PublishRequest request, TimeSpan timeout,
        CancellationToken cancel) => IsSelf(node)
        ? Of(local.Owner!.Publish(request))
        : OwnerCallAsync<PublishRequest, OwnerAnswers>(node, request, timeout, cancel, goOn: true);

    public Task<MeshResult<OwnerAnswers>> MirrorAsync(NodeRecord node, MirrorRequest request, TimeSpan timeout,
        CancellationToken cancel) => IsSelf(node)
        ? Of(local.Owner!.Mirror(request))
        : OwnerCallAsync<MirrorRequest, OwnerAnswers>(node, request, timeout, cancel, goOn: true);

    public Task<MeshResult<LocateAnswer>> LocateAsync(NodeRecord node, LocateRequest request, TimeSpan timeout,
        CancellationToken cancel) => IsSelf(node)
        ? Of(local.Owner!.Locate(request))
        : OwnerCallAsync<LocateRequest, LocateAnswer>(node, request, timeout, cancel);

    public Task<MeshResult<OwnerAnswers>> RetractAsync(NodeRecord node, RetractRequest request, TimeSpan timeout,
        CancellationToken cancel) => IsSelf(node)
        ? Of(local.Owner!.Retract(request))
        : OwnerCallAsync<RetractRequest, OwnerAnswers>(node, request, timeout, cancel);

    public Task<MeshResult<Done>> OweAsync(NodeRecord node, OweRequest request, TimeSpan timeout,
        CancellationToken cancel) => IsSelf(node)
        ? Of(local.Owner!.Owe(request))
        : OwnerCallAsync<OweRequest, Done>(node, request, timeout, cancel);

    public Task<MeshResult<ClaimAnswer>> ClaimAsync(NodeRecord node, ClaimRequest request, TimeSpan timeout,
        CancellationToken cancel) => IsSelf(node)
        ? Of(local.Owner!.Claim(request))
        : OwnerCallAsync<ClaimRequest, ClaimAnswer>(node, request, timeout, cancel);

    public Task<MeshResult<OwnerAnswers>> SettleAsync(NodeRecord node, SettleRequest request, TimeSpan timeout,
        CancellationToken cancel) => IsSelf(node)
        ? Of(local.Owner!.Settle(request))
        : OwnerCallAsync<SettleRequest, OwnerAnswers>(node, request, timeout, cancel);

    public Task<MeshResult<SlotPage>> PullSlotsAsync(NodeRecord node, SlotPullRequest request, TimeSpan timeout,
        CancellationToken cancel) => OwnerCallAsync<SlotPullRequest, SlotPage>(node, request, timeout, cancel);

    public Task<MeshResult<SlotStateAnswer>> SlotStateAsync(NodeRecord node, SlotStateRequest request,
        TimeSpan timeout, CancellationToken cancel) =>
        OwnerCallAsync<SlotStateRequest, SlotStateAnswer>(node, request, timeout, cancel);

    public Task<MeshResult<PingAnswer>> PingAsync(NodeRecord node, PingRequest request, TimeSpan timeout,
        CancellationToken cancel) =>
        links.CallAsync<PingRequest, PingAnswer>(node, _isNode ? Lane.Owner : Lane.Client, request, timeout, cancel,
            probe: true);

    public Task<MeshResult<ViewPage>> PullViewAsync(NodeRecord node, ViewPullRequest request, TimeSpan timeout,
        CancellationToken cancel) => OwnerCallAsync<ViewPullRequest, ViewPage>(node, request, timeout, cancel);

    public Task<MeshResult<Done>> DropAsync(NodeRecord node, DropRequest request, TimeSpan timeout,
        CancellationToken cancel) => IsSelf(node)
        ? Of(local.Holder!.Drop(request))
        : ClientCallAsync<DropRequest, Done>(node, request, timeout, cancel);

    public Task<MeshResult<ReadAnswer>> ReadAsync(NodeRecord node, ReadRequest request, TimeSpan timeout,
        CancellationToken cancel) => IsSelf(node)
        ? local.Holder!.ReadAsync(request).AsTask()
        : ClientCallAsync<ReadRequest, ReadAnswer>(node, request, timeout, cancel);

    public Task<MeshResult<HolderPage>> ListAsync(NodeRecord node, HolderListRequest request, TimeSpan timeout,
        CancellationToken cancel) => IsSelf(node)
        ? Of(local.Holder!.List(request))
        : ClientCallAsync<HolderListRequest, HolderPage>(node, request, timeout, cancel);

    public Task<MeshResult<Done>> AbandonAsync(NodeRecord node, AbandonRequest request, TimeSpan timeout,
        CancellationToken cancel) => IsSelf(node)
        ? Of(local.Holder!.Abandon(request))
        : ClientCallAsync<AbandonRequest, Done>(node, request, timeout, cancel);

    public Task<MeshResult<Done>> PinAsync(NodeRecord node, PinRequest request, TimeSpan timeout,
        CancellationToken cancel) => IsSelf(node)
        ? Task.FromResult(local.Holder!.Pin(request))
        : ClientCallAsync<PinRequest, Done>(node, request, timeout, cancel);

    public Task<MeshResult<Done>> DropGroupAsync(NodeRecord node, DropGroupRequest request, TimeSpan timeout,
        CancellationToken cancel) => IsSelf(node)
        ? Of(local.Holder!.DropGroup(request))
        : ClientCallAsync<DropGroupRequest, Done>(node, request, timeout, cancel);

    public Task<MeshResult<ClearAnswer>> ClearAsync(NodeRecord node, ClearRequest request, TimeSpan timeout,
        CancellationToken cancel) => IsSelf(node)
        ? Of(local.Holder!.Clear(request))
        : ClientCallAsync<ClearRequest, ClearAnswer>(node, request, timeout, cancel);

    public Task<MeshResult<MatchPage>> MatchAsync(NodeRecord node, MatchRequest request, TimeSpan timeout,
        CancellationToken cancel) => IsSelf(node)
        ? Task.FromResult(local.Holder!.Match(request))
        : ClientCallAsync<MatchRequest, MatchPage>(node, request, timeout, cancel);

    public Task<MeshResult<RemoveAllAnswer>> RemoveAllAsync(NodeRecord node, RemoveAllRequest request, TimeSpan timeout,
        CancellationToken cancel) => IsSelf(node)
        ? local.Clients!.RemoveAllAsync(request, cancel)
        : ClientCallAsync<RemoveAllRequest, RemoveAllAnswer>(node, request, timeout, cancel);

    /// <summary>Opens, or only closes, views of this process at another one of this host.</summary>
    public Task<MeshResult<ViewAnswer>> ViewAsync(NodeRecord node, ViewExtentRequest request, TimeSpan timeout,
        CancellationToken cancel) =>
        ClientCallAsync<ViewExtentRequest, ViewAnswer>(node, request, timeout, cancel);

    public Task<MeshResult<ViewKeyAnswer>> ViewAsync(NodeRecord node, ViewKeyRequest request, TimeSpan timeout,
        CancellationToken cancel) => ClientCallAsync<ViewKeyRequest, ViewKeyAnswer>(node, request, timeout, cancel);

    public Task<MeshResult<SumsAnswer>> SumsAsync(NodeRecord node, SumsRequest request, TimeSpan timeout,
        CancellationToken cancel) => IsSelf(node)
        ? Of(local.Holder!.Sums(request))
        : ClientCallAsync<SumsRequest, SumsAnswer>(node, request, timeout, cancel);

    public Task<MeshResult<PutAnswer>> PutAsync(NodeRecord node, PutRequest request, TimeSpan timeout,
        CancellationToken cancel) => IsSelf(node)
        ? local.Clients!.PutAsync(request, cancel)
        : ClientCallAsync<PutRequest, PutAnswer>(node, request, timeout, cancel);

    public Task<MeshResult<ReserveAnswer>> ReserveAsync(NodeRecord node, ReserveRequest request, TimeSpan timeout,
        CancellationToken cancel) => IsSelf(node)
        ? local.Clients!.ReserveAsync(request, null, cancel)
        : ClientCallAsync<ReserveRequest, ReserveAnswer>(node, request, timeout, cancel);

    public Task<MeshResult<PutAnswer>> SealAsync(NodeRecord node, SealRequest request, TimeSpan timeout,
        CancellationToken cancel) => IsSelf(node)
        ? local.Clients!.SealAsync(request, cancel)
        : ClientCallAsync<SealRequest, PutAnswer>(node, request, timeout, cancel);

    public Task<MeshResult<OwnerAnswers>> RemoveAsync(NodeRecord node, RemoveRequest request, TimeSpan timeout,
        CancellationToken cancel) => IsSelf(node)
        ? local.Clients!.RemoveAsync(request, cancel)
        : ClientCallAsync<RemoveRequest, OwnerAnswers>(node, request, timeout, cancel);

    public Task<MeshResult<StatusAnswer>> StatusAsync(NodeRecord node, TimeSpan timeout, CancellationToken cancel) =>
        IsSelf(node)
            ? Of(local.Node!.Status())
            : ClientCallAsync<StatusRequest, StatusAnswer>(node, default, timeout, cancel);

    /// <summary>Whether <paramref name="node"/> is this very process.</summary>
    public bool IsSelf(NodeRecord node) => _isNode && node.NodeId == selfId
        && (Incarnation is null || Incarnation() == node.Incarnation);

    /// <summary>Which life of the node this is; null: any. A namesake of another life is not us.</summary>
    public Func<ulong>? Incarnation { get; init; }

    private static Task<MeshResult<T>> Of<T>(T answer) => Task.FromResult<MeshResult<T>>(answer);

    private Task<MeshResult<TAnswer>> OwnerCallAsync<TRequest, TAnswer>(NodeRecord node, TRequest request,
        TimeSpan timeout, CancellationToken cancel, bool goOn = false)
        where TRequest : IWireRequest<TRequest, TAnswer>
        where TAnswer : IWireMessage<TAnswer> =>
        links.CallAsync<TRequest, TAnswer>(node, _isNode ? Lane.Owner : Lane.Client, request, timeout, cancel,
            goOn: goOn);

    private Task<MeshResult<TAnswer>> ClientCallAsync<TRequest, TAnswer>(NodeRecord node, TRequest request,
        TimeSpan timeout, CancellationToken cancel)
        where TRequest : IWireRequest<TRequest, TAnswer>
        where TAnswer : IWireMessage<TAnswer> =>
        links.CallAsync<TRequest, TAnswer>(node, Lane.Client, request, timeout, cancel);
}
