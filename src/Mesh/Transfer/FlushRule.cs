// SPDX-License-Identifier: Apache-2.0

// On the data path.

namespace Mooncake.Mesh.Transfer;

/// <summary>What a one-sided read that is given up waits for before its caller has its memory back (rule A4).</summary>
internal interface IFlushRule
{
    /// <summary>The read is given up while some of it may be under way.</summary>
    Task GiveUpAsync(IOneSidedLink link);
}

/// <summary>
/// Rule A4: no call returns while anything can still write the caller's memory. On deadline and cancel alike the link
/// is flushed, and then the call returns.
/// </summary>
internal sealed class FlushRule : IFlushRule
{
    /// <inheritdoc/>
    public Task GiveUpAsync(IOneSidedLink link) => link.FlushAsync();
}
