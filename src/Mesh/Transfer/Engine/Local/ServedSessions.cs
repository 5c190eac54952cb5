// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.Transfer.Engine.Memory;
using Mooncake.Mesh.Transfer.Tcp;

namespace Mooncake.Mesh.Transfer.Engine.Local;

/// <summary>
/// The processes of this host that copy out of and into this one by themselves. What they are at is seen on their
/// boards, so that memory can be taken from under none of them. Thread-safe.
/// </summary>
internal sealed class ServedSessions
{
    /// <summary>Most of them at one time.</summary>
    public const int Most = 512;

    private readonly Lock _gate = new();
    private readonly List<PeerBoard> _boards = [];

    /// <summary>Whether a process may copy: from then on until its end, or that of the connection.</summary>
    public bool TryEnter(PeerBoard board)
    {
        lock (_gate)
        {
            if (_boards.Count >= Most)
                return false;
            _boards.Add(board);
            return true;
        }
    }

    /// <summary>Waits for the end of a process that has entered, or of its connection; the board is disposed.</summary>
    public void UntilGone(BlockingSocket socket, PeerBoard board)
    {
        // It sends nothing more: whatever comes is its end, or no peer of ours.
        socket.WaitForInputOr(board.PidDescriptor, -1);
        Leave(board);
    }

    /// <summary>A process that has entered is gone; its board is disposed.</summary>
    public void Leave(PeerBoard board)
    {
        lock (_gate)
        {
            _boards.Remove(board);
            board.Dispose();
        }
    }

    /// <summary>Whether no process is at a copy that it began before a sequence.</summary>
    public bool AreBeyond(ulong sequence)
    {
        lock (_gate)
        {
            foreach (var board in _boards)
            {
                if (IsBefore(board, sequence) && !board.HasEnded)
                    return false;
            }

            return true;
        }
    }

    private static bool IsBefore(PeerBoard board, ulong sequence)
    {
        for (int i = 0; i < EngineBoard.CellsOfSession; i++)
        {
            ulong cell = board.Cell(i);
            if (cell != 0 && cell < sequence)
                return true;
        }

        return false;
    }
}
