// SPDX-License-Identifier: Apache-2.0

using System.Net;
using System.Net.Sockets;

namespace Mooncake.Mesh.Transfer.Tcp;

/// <summary>
/// Connects on a thread of its own, and so without the runtime's poller. A socket that the poller has once waited for
/// stays with it for good: whatever arrives then wakes the poller, and a thread of the pool after it, besides the one
/// that receives. Benchmark: "mooncake-mesh bench store".
/// </summary>
internal static class PlainConnect
{
    private const int StackBytes = 256 * 1024;

    /// <summary>Connects a socket that blocks.</summary>
    /// <exception cref="SocketException">Refused or unreachable.</exception>
    /// <exception cref="OperationCanceledException">Cancelled; the socket is disposed.</exception>
    public static async Task RunAsync(Socket socket, EndPoint target, CancellationToken cancel)
    {
        cancel.ThrowIfCancellationRequested();
        var done = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        var thread = new Thread(() => Connect(socket, target, done), StackBytes)
        {
            IsBackground = true,
            Name = "mesh connect",
        };
        // Ends a connect that is under way.
        using var registration = cancel.UnsafeRegister(static state => ((Socket)state!).Dispose(), socket);
        thread.Start();
        try
        {
            await done.Task;
        }
        catch (Exception e) when (e is SocketException or ObjectDisposedException)
        {
            cancel.ThrowIfCancellationRequested();
            throw;
        }

        // It may have been disposed just after it was done.
        cancel.ThrowIfCancellationRequested();
    }

    private static void Connect(Socket socket, EndPoint target, TaskCompletionSource done)
    {
        try
        {
            socket.Connect(target);
            done.SetResult();
        }
        catch (Exception e)
        {
            done.SetException(e);
        }
    }
}
