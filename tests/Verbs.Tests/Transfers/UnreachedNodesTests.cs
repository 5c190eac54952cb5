// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.Tests.Support;
using Mooncake.Mesh.Transfer;
using Mooncake.Mesh.Verbs.Mesh;

namespace Mooncake.Mesh.Verbs.Tests.Transfers;

public sealed class UnreachedNodesTests
{
    private readonly ManualTimeProvider _time = new();
    private readonly LogLines _log = new();
    private readonly UnreachedNodes _nodes;

    public UnreachedNodesTests() => _nodes = new UnreachedNodes(_time, _log);

    [Fact]
    public void A_way_that_fails_and_works_in_turn_is_told_of_once_and_once_more_when_it_only_works()
    {
        for (int i = 0; i < 10; i++)
        {
            _nodes.Note("n1", TransferOutcome.Unreachable, null);
            _nodes.Note("n1", TransferOutcome.Done, null);
            _time.Advance(UnreachedNodes.Quiet / 2);
        }

        Assert.Equal((1, 0), (_log.Count("rdma_fallback node=n1"), _log.Count("rdma_again")));
        _nodes.Note("n2", TransferOutcome.Done, null);
        _time.Advance(UnreachedNodes.Quiet);
        _nodes.Note("n1", TransferOutcome.Done, null);
        _nodes.Note("n1", TransferOutcome.Done, null);
        Assert.Equal((1, 1), (_log.Count("rdma_fallback"), _log.Count("rdma_again node=n1")));
        Assert.Equal(10, _nodes.Transfers);

        _nodes.Note("n1", TransferOutcome.Unreachable, "no device");
        Assert.Equal(1, _log.Count("rdma_fallback node=n1 reason=no device"));
    }

    [Fact]
    public void A_node_that_came_anew_is_told_of_anew()
    {
        _nodes.Note("n1", TransferOutcome.Unreachable, null);
        _nodes.Forget("n1");
        _nodes.Note("n1", TransferOutcome.Unreachable, null);
        Assert.Equal(2, _log.Count("rdma_fallback node=n1"));
    }
}
