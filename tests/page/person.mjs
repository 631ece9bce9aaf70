// What a person does on the page and sees there, by its `data-testid`s and the rows' data attributes.

/** Somebody in front of a page. */
export class Person {
  constructor(page) {
    this.page = page;
  }

  choose(transport) {
    return this.page.getByTestId('transport').selectOption(transport);
  }

  is(state, transport) {
    const via = transport ? `[data-transport="${transport}"]` : '';
    return this.page.locator(`[data-testid=state][data-state="${state}"]${via}`).waitFor();
  }

  async publish(channel, data) {
    await this.page.getByTestId('publish-channel').fill(channel);
    await this.page.getByTestId('publish-data').fill(JSON.stringify(data));
    await this.page.getByTestId('publish').click();
  }

  session() {
    return this.page.getByTestId('session').textContent();
  }

  async attaches() {
    return Number(await this.page.getByTestId('attach').textContent());
  }

  replies(count) {
    const enough = (count) => document.querySelectorAll('[data-kind=reply]').length >= count;
    return this.page.waitForFunction(enough, count);
  }

  /** The events of a channel, oldest first, once there are so many. */
  async events(channel, count) {
    const enough = ([channel, count]) => document.querySelectorAll(`[data-kind=event][data-channel="${channel}"]`).length >= count;
    try {
      await this.page.waitForFunction(enough, [channel, count]);
    } catch (error) {
      const notes = await this.page.locator('#items li').allTextContents();
      throw new Error(`${error.message}\nstate: ${await this.page.getByTestId('state').textContent()}\n${notes.join('\n')}`);
    }
    return this.seen(channel);
  }

  seen(channel) {
    const read = (rows) =>
      rows.reverse().map(({ dataset, lastChild }) => ({
        transport: dataset.transport,
        offset: Number(dataset.offset),
        data: lastChild.textContent,
      }));
    return this.page.locator(`[data-kind=event][data-channel="${channel}"]`).evaluateAll(read);
  }

  numbers() {
    const read = (rows) => rows.reverse().map(({ dataset }) => Number(dataset.number));
    return this.page.locator('#items [data-number]').evaluateAll(read);
  }
}
