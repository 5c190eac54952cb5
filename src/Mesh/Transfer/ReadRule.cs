// SPDX-License-Identifier: Apache-2.0

// On the data path.

namespace Mooncake.Mesh.Transfer;

/// <summary>When a one-sided reader looks at the generation word (rule A1, the reader's half).</summary>
internal interface IReadRule
{
    /// <summary>Has the bytes copied, and the word looked at.</summary>
    ValueTask<TransferOutcome> RunAsync(OneSidedRead read);
}

/// <summary>
/// Rule A1: a read is good only when it is verified after its last byte has landed. All slices first, then the word.
/// </summary>
internal sealed class ReadRule : IReadRule
{
    /// <inheritdoc/>
    public async ValueTask<TransferOutcome> RunAsync(OneSidedRead read)
    {
        var copied = await read.CopyAsync();
        return copied == TransferOutcome.Done ? await read.CheckAsync() : copied;
    }
}
