// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.Control;
using Mooncake.Mesh.Membership;
using Mooncake.Mesh.Transfer.Tcp;

namespace Mooncake.Mesh.Transfer;

/// <summary>Opens connections of a bulk lane, shaken hands with the incarnation that is meant. Thread-safe.</summary>
/// <param name="hello">Our hello on a lane to a node.</param>
/// <param name="handshake">Opens a connection.</param>
/// <param name="runtime">Network and clock.</param>
/// <param name="bootId">Boot id of this host.</param>
/// <param name="timeout">How long a connection or an answer to its opening may take; 1 s by default.</param>
internal sealed class PeerDialer(Func<Lane, string, Hello> hello, Handshake handshake, MeshRuntime runtime,
    string bootId, TimeSpan? timeout = null)
{
    /// <summary>How long a connection, or an answer to its opening, may take.</summary>
    public TimeSpan Timeout { get; } = timeout ?? TimeSpan.FromSeconds(1);

    public MeshRuntime Runtime => runtime;

    /// <summary>Whether a node is on this host and has a Unix socket.</summary>
    public bool IsLocal(NodeRecord node) =>
        node.SocketPath.Length > 0 && bootId.Length > 0 && node.BootId == bootId;

    /// <summary>
    /// Connects to a node, over its Unix socket where that is possible: a third of the cost of tcp. Blocks the thread
    /// for at most <see cref="Timeout"/> an endpoint.
    /// </summary>
    public MeshResult<SocketConnection> Dial(NodeRecord node, Lane lane, bool localOnly, CancellationToken cancel)
    {
        MeshError error = new(MeshErrorCode.Unavailable, "link", $"{node.NodeId} announces no endpoint");
        if (IsLocal(node))
        {
            var local = Dial(node, lane, "unix:" + node.SocketPath, cancel);
            if (local.Succeeded)
                return local;
            error = local.Error!;
        }

        if (localOnly)
            return error;
        foreach (string endpoint in node.Endpoints)
        {
            var dialled = Dial(node, lane, endpoint, cancel);
            if (dialled.Succeeded)
                return dialled;
            error = dialled.Error!;
        }

        return error;
    }

    private MeshResult<SocketConnection> Dial(NodeRecord node, Lane lane, string endpoint, CancellationToken cancel)
    {
        // Blocks a thread of the transport's own; the continuations run on the thread pool.
        return DialAsync(node, lane, endpoint, cancel).GetAwaiter().GetResult();
    }

    private async Task<MeshResult<SocketConnection>> DialAsync(NodeRecord node, Lane lane, string endpoint,
        CancellationToken cancel)
    {
        IPeerConnection? connection = null;
        try
        {
            using var late = new CancellationTokenSource(Timeout, runtime.Time);
            using var either = CancellationTokenSource.CreateLinkedTokenSource(late.Token, cancel);
            connection = await runtime.Network.ConnectAsync(endpoint, either.Token);
            using var reader = new FrameReader(connection);
            var answer = await handshake.OfferAsync(connection, reader, hello(lane, node.NodeId), either.Token);
            if (answer.Succeeded && answer.Value.Incarnation == node.Incarnation
                && connection is SocketConnection socket)
            {
                connection = null;
                return socket;
            }

            return answer.Error ?? new MeshError(MeshErrorCode.Unavailable, "link",
                $"{node.NodeId} at {endpoint} is another life of that node than the one in the view");
        }
        catch (Exception e) when (e is IOException or OperationCanceledException or ObjectDisposedException
            or WireException)
        {
            return new MeshError(MeshErrorCode.Unavailable, "link",
                $"cannot reach {node.NodeId} at {endpoint}: {e.Message}");
        }
        finally
        {
            connection?.Abort();
        }
    }
}
